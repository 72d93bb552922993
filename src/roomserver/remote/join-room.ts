/**
 * Joining a room by the help of a server in it (S-S API v1.19 §Joining Rooms): make_join, send_join, the checks of all
 * that came back, and the one commit in which the room is ours (INVARIANTS 13).
 */
import type { FedClient, FederationFault, JoinAnswer } from '../../fedclient/index.ts';
import { MatrixError } from '../../matrix/errors.ts';
import { type EventId, parseServerName, type RoomId, type ServerName, type UserId } from '../../matrix/ids.ts';
import { type JsonObject, type JsonValue, memberOf, parseJson } from '../../matrix/json.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { type RoomVersionRules, roomVersionOfCreate, roomVersions } from '../../matrix/room-versions.ts';
import type { Database } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { collectingEarly } from '../../util/garbage.ts';
import type { Logger } from '../../util/log.ts';
import { type Result, err, ok } from '../../util/result.ts';
import type { InputOptions } from '../core.ts';
import { EventBundle } from './bundle.ts';
import type { Handshakes } from './handshakes.ts';
import type { FetchParts } from './parts.ts';
import type { PduChecker } from './pdus.ts';
import { askInTurn, badReply, refusal, refusalOf } from './residents.ts';
import { type MemberEvent, fromTemplate } from './template.ts';

export interface RemoteJoinParts {
  readonly db: Database;
  readonly rooms: FetchParts['rooms'];
  readonly federation: Pick<FedClient, 'api' | 'permits'>;
  /** Take a state without members, where the other server offers it; the room is completed in the background. */
  readonly partialJoins: boolean;
  readonly pdus: PduChecker;
  readonly remote: { readonly handshakes: Pick<Handshakes, 'delivered'> };
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RemoteJoin {
  readonly roomId: RoomId;
  readonly user: UserId;
  /** Content of the member event. */
  readonly content: JsonObject;
  /** Whom to ask, in this order. */
  readonly servers: readonly string[];
}

/** What a resident server lets us in with; `join` and the room's version are checked. */
interface Admission {
  readonly join: RoomEvent;
  readonly rules: RoomVersionRules;
  readonly answer: JoinAnswer;
}

export interface Joined {
  readonly roomId: RoomId;
  /** The server that let us in. */
  readonly server: ServerName;
  /** Events of the state that came with it. */
  readonly stateSize: number;
}

/** No further server is asked after this long; one that works on our join is waited for. */
const patienceMs = 90_000;

export class RemoteJoining {
  readonly #parts: RemoteJoinParts;

  constructor(parts: RemoteJoinParts) {
    this.#parts = parts;
  }

  /**
   * Joins through the first server that lets us in.
   * @throws what the servers said: M_FORBIDDEN, M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION, M_UNABLE_TO_AUTHORISE_JOIN,
   *   M_UNABLE_TO_GRANT_JOIN; M_UNKNOWN (502)
   */
  async join(wish: RemoteJoin): Promise<Joined> {
    const { serverName, clock, federation, log } = this.#parts;
    const asking = { serverName, clock, patienceMs, permits: (server: string) => federation.permits(server) };
    const found = await askInTurn(wish.servers, asking, async (server) => {
      const entered = await collectingEarly(() => this.#enter(server, wish));
      if (!entered.ok) log.info({ room: wish.roomId, server, fault: entered.error.message }, 'a join was not let in');
      return entered;
    });
    if ('faults' in found) throw refusalOf(found.faults);
    return { roomId: wish.roomId, server: found.server, stateSize: found.answer };
  }

  async #enter(server: ServerName, wish: RemoteJoin): Promise<Result<number, FederationFault>> {
    const { db, rooms, federation, remote, serverName, clock } = this.#parts;
    const { roomId, user, content } = wish;
    // Only of a room that we know there may be anything on its way.
    if (db.read((snapshot) => rooms.room(snapshot, roomId)) !== undefined) await remote.handshakes.delivered(server);
    const omitMembers = this.#mayOmitMembers(roomId);
    const made = await federation.api.makeJoin(server, roomId, user, [...roomVersions.keys()], { ignoreBackoff: true });
    if (!made.ok) return made;
    const about = { roomId, user, membership: 'join' as const, content, origin: serverName, now: clock.now() };
    const member = fromTemplate(rooms, made.value, about);
    if (!member.ok) return member;
    const { event, text } = member.value;
    const options = { ignoreBackoff: true };
    const sent = await federation.api.sendJoin(server, roomId, event.eventId, text, omitMembers, options);
    if (!sent.ok) return sent;
    if (sent.value.membersOmitted && !omitMembers) return err(badReply('members are missing that were asked for'));
    const admission = await this.#check(member.value, sent.value);
    if (!admission.ok) return admission;
    return this.#store(wish, server, admission.value);
  }

  /** A room whose members we know never becomes partial again. */
  #mayOmitMembers(roomId: RoomId): boolean {
    const { db, rooms, partialJoins } = this.#parts;
    if (!partialJoins) return false;
    return db.read((snapshot) => {
      const room = rooms.room(snapshot, roomId);
      if (room === undefined || !rooms.isServerJoined(snapshot, room.nid)) return true;
      return rooms.isPartial(snapshot, room.nid);
    });
  }

  /** That we are let in as who we said, into this room in the version that was promised. */
  async #check({ event, rules }: MemberEvent, answer: JoinAnswer): Promise<Result<Admission, FederationFault>> {
    const join = await this.#signed(event, rules, answer.event);
    if (!join.ok) return join;
    const text = find(answer.state, (one) => memberOf(parseIfNamed(one, 'm.room.create'), 'state_key') === '');
    const texts = text === undefined ? [] : [text];
    const { events } = await this.#parts.pdus.check(texts, rules, { roomId: event.roomId });
    const [create] = events;
    if (create === undefined) return err(badReply('the state has no create event'));
    if (roomVersionOfCreate(create.content) !== rules.version) {
      return err(badReply('the create event names another room version'));
    }
    return ok({ join: join.value, rules, answer });
  }

  /** Our event as the resident server has it, which has signed it too; a restricted join is worth nothing without. */
  async #signed(
    event: RoomEvent,
    rules: RoomVersionRules,
    text: string | undefined,
  ): Promise<Result<RoomEvent, FederationFault>> {
    const isVouched = rules.restrictedJoin && event.content.join_authorised_via_users_server !== undefined;
    if (text === undefined)
      return isVouched ? err(badReply('the join is not signed by who vouches for it')) : ok(event);
    const { events } = await this.#parts.pdus.check([text], rules, { roomId: event.roomId });
    const [signed] = events;
    if (signed?.eventId === event.eventId) return ok(signed);
    return isVouched ? err(badReply('the join came back as another event')) : ok(event);
  }

  /** Stores what came, then the join on it; resolves with the size of the state. */
  async #store(
    wish: RemoteJoin,
    via: ServerName,
    { join, rules, answer }: Admission,
  ): Promise<Result<number, FederationFault>> {
    const { rooms, db, log } = this.#parts;
    const { roomId } = wish;
    const { membersOmitted, serversInRoom = [] } = answer;
    const bundle = new EventBundle(this.#parts, { roomId, rules }, (id) => id !== join.eventId);
    const ids: EventId[] = [];
    await bundle.add(answer.authChain);
    await bundle.add(answer.state, ({ eventId, stateKey }) => {
      if (stateKey !== undefined) ids.push(eventId);
    });
    await bundle.end();
    if (bundle.failed.length > 0)
      log.warn({ room: roomId, count: bundle.failed.length, first: bundle.failed[0] }, 'a join brought bad events');
    // What stands on an event that could not be had, or was not signed, is left out; the rest will do.
    const stateIds = ids.filter((id) => bundle.isStored(id));
    const options = db.read((snapshot): InputOptions => {
      const room = rooms.room(snapshot, roomId);
      const told = new Map<EventId, readonly EventId[]>([[join.eventId, stateIds]]);
      const isJoined = room !== undefined && rooms.isServerJoined(snapshot, room.nid);
      const servers = serversInRoom.flatMap((server) => parseServerName(server) ?? []);
      const partial = membersOmitted ? { partialJoin: { event: join.eventId, via, servers } } : {};
      if (!isJoined) return { stateBefore: told, replacesRoom: join.eventId, ...partial };
      // In a room that we know, our own state counts, as long as it reaches up to the event.
      const isKnown = (id: EventId): boolean => rooms.eventById(snapshot, id)?.outlier === false;
      if (!rooms.isPartial(snapshot, room.nid) && join.prevEvents.every(isKnown)) return {};
      // A further user of a room that is partial still: who let him in knows a state that we don't.
      return { stateBefore: told, ...partial };
    });
    const verdict = (await rooms.input(roomId, [join], 'live', options)).get(join.eventId);
    if (verdict?.kind === 'accepted') return ok(stateIds.length);
    // The room became whole meanwhile: a state without members is nothing to stand on any more.
    if (membersOmitted && !this.#mayOmitMembers(roomId)) return this.#enter(via, wish);
    const reason = `the state that came with it does not admit the join: ${reasonOf(verdict)}`;
    return err(verdict?.kind === 'rejected' ? refusal(reason) : badReply(reason));
  }
}

function find(texts: Iterable<string>, isWanted: (text: string) => boolean): string | undefined {
  for (const text of texts) if (isWanted(text)) return text;
  return undefined;
}

/** The event of a text, if it is of this type; most texts need not be taken apart to see that they are not. */
function parseIfNamed(text: string, type: string): JsonValue | undefined {
  const event = text.includes(type) ? parseJson(text) : undefined;
  return memberOf(event, 'type') === type ? event : undefined;
}

const reasonOf = (verdict: object | undefined): string =>
  verdict !== undefined && 'reason' in verdict ? String(verdict.reason) : 'nothing is known of it';

/** For errors that a client is told. */
export const isErrcode = (error: unknown, errcode: string): error is MatrixError =>
  error instanceof MatrixError && error.errcode === errcode;
