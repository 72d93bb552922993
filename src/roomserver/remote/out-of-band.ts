/**
 * Memberships of our users in rooms that this server is not in (INVARIANTS 16): invites as they come in (S-S API v1.19
 * §Inviting to a room), their withdrawal, answers to knocks. They never touch a room's state.
 */
import { type MatrixError, matrixError } from '../../matrix/errors.ts';
import { type RoomId, type ServerName, type UserId, parseUserId } from '../../matrix/ids.ts';
import { type JsonObject, asString, isJsonObject, memberOf, parseJson } from '../../matrix/json.ts';
import { membershipIn } from '../../matrix/auth-types.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import { strippedStateFields } from '../../matrix/stored-event.ts';
import { asPosition, type Database, type Snapshot, type Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import { refuseBlocked } from '../perform/blocked-rooms.ts';
import type { RoomUsers } from '../perform/users.ts';
import type { LocalMembership, Membership, Room } from '../types.ts';
import type { PduChecker } from './pdus.ts';

export interface OutOfBandParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly users: RoomUsers;
  readonly pdus: PduChecker;
}

export interface InboundInvite {
  /** Checked: format, signature, that it is an invite by a user of its origin to one of ours. */
  readonly event: RoomEvent;
  readonly rules: RoomVersionRules;
  /** Raw entries of `invite_room_state`. */
  readonly state: readonly string[];
}

const newest = asPosition(Number.MAX_SAFE_INTEGER);
/** Of an invite or knock; more are not shown. */
const mostEntries = 50;

export class OutOfBand {
  readonly #parts: OutOfBandParts;

  constructor(parts: OutOfBandParts) {
    this.#parts = parts;
  }

  /** The newest membership of a local user in a room, out of band or not. */
  membershipOf(snapshot: Snapshot, roomId: string, user: UserId): LocalMembership | undefined {
    const { rooms } = this.#parts;
    const room = rooms.room(snapshot, roomId);
    return room === undefined ? undefined : rooms.localMembershipAt(snapshot, user, room.nid, newest);
  }

  /**
   * Takes an invite; resolves with the event that has our signature too.
   * @throws M_FORBIDDEN, M_INVITE_BLOCKED, M_MISSING_PARAM, M_INVALID_PARAM
   */
  async invited({ event, rules, state }: InboundInvite): Promise<RoomEvent> {
    const { db, rooms } = this.#parts;
    const user = event.stateKey as UserId;
    db.read((snapshot) => this.#refuse(snapshot, event.roomId, user));
    const stripped = await this.stripped(state, rules, event.roomId, rules.roomIdIsCreateHash);
    const signed = rooms.sign(event, rules);
    if (await this.#takenByRoom(signed)) return signed;
    const list = JSON.stringify([...stripped, strippedStateFields(signed)]);
    await db.write((tx) => {
      this.#refuse(tx, event.roomId, user);
      const room = rooms.outsideRoom(tx, event.roomId, rules);
      if (!this.#isTold(tx, room, user, signed)) rooms.setOutOfBandMembership(tx, room, user, 'invite', signed, list);
    });
    return signed;
  }

  /**
   * Stripped state of the PDUs that came with an invite or knock: each of this room, well-formed and well-signed.
   *
   * @param strict whether a list that is not such is an error; else stripped events of older servers pass as well
   * @throws M_MISSING_PARAM without a create event; M_INVALID_PARAM
   */
  async stripped(
    texts: readonly string[],
    rules: RoomVersionRules,
    roomId: RoomId,
    strict: boolean,
  ): Promise<JsonObject[]> {
    const { events, failed } = await this.#parts.pdus.check(texts.slice(0, mostEntries), rules, { roomId });
    const states = events.filter(({ stateKey }) => stateKey !== undefined);
    if (strict) {
      if (!states.some(({ type, stateKey }) => type === 'm.room.create' && stateKey === '')) {
        throw matrixError.missingParam('The state that came along has no create event of this room');
      }
      if (failed.length > 0) throw matrixError.invalidParam('The state that came along has bad events');
      return states.map(strippedStateFields);
    }
    const good = states.map(strippedStateFields);
    const known = new Set(good.map(({ type, state_key: key }) => `${String(type)} ${String(key)}`));
    const plain = texts
      .slice(0, mostEntries)
      .map(plainStripped)
      .filter((event) => event !== undefined);
    return [...good, ...plain.filter(({ type, state_key: key }) => !known.has(`${String(type)} ${String(key)}`))];
  }

  /** Records what became of our own user's knock or of his answer to an invite; `event` 0: nobody was told. */
  record(
    tx: Tx,
    room: Room,
    user: UserId,
    membership: Membership,
    event: RoomEvent | 0,
    stripped?: readonly JsonObject[],
  ): void {
    const list = stripped === undefined ? undefined : JSON.stringify(stripped);
    this.#parts.rooms.setOutOfBandMembership(tx, room, user, membership, event, list);
  }

  /**
   * An event of a room that this server is not in: taken if it ends the invite or knock of one of our users, or is that
   * invite once more; undefined otherwise. "A retraction … is accepted only if it cites the stored invite and has that
   * invite's sender"; a knock may be turned down by anybody who cites it.
   *
   * @param text raw PDU, not checked
   */
  async receive(
    _origin: ServerName,
    roomId: string,
    text: string,
  ): Promise<{ readonly eventId: string; readonly error: undefined } | undefined> {
    const { db, rooms, pdus } = this.#parts;
    const parsed = parseJson(text);
    const user = parseUserId(asString(memberOf(parsed, 'state_key')) ?? '');
    if (user === undefined || memberOf(parsed, 'type') !== 'm.room.member') return undefined;
    const room = db.read((snapshot) => (this.#open(snapshot, roomId, user) ? rooms.room(snapshot, roomId) : undefined));
    if (room === undefined) return undefined;
    const [event] = (await pdus.check([text], room.rules, { roomId: room.roomId })).events;
    if (event === undefined) return undefined;
    const taken = await db.write((tx) => {
      const held = this.#open(tx, roomId, user);
      if (held === undefined) return false;
      if (held.event.eventId === event.eventId) return true;
      const membership = membershipIn(event.content);
      if (membership !== 'leave' && membership !== 'ban') return false;
      if (!event.authEvents.includes(held.event.eventId)) return false;
      if (held.row.membership === 'invite' && held.event.sender !== event.sender) return false;
      rooms.setOutOfBandMembership(tx, room, user, membership, event);
      return true;
    });
    return taken ? { eventId: event.eventId, error: undefined } : undefined;
  }

  /** The out-of-band invite or knock that a user of ours has in a room that we are not in. */
  #open(
    snapshot: Snapshot,
    roomId: string,
    user: UserId,
  ): { readonly row: LocalMembership; readonly event: RoomEvent } | undefined {
    const { rooms, users } = this.#parts;
    const row = users.isLocal(user) ? this.membershipOf(snapshot, roomId, user) : undefined;
    if (row?.outOfBand !== true || row.event === 0) return undefined;
    if (row.membership !== 'invite' && row.membership !== 'knock') return undefined;
    if (rooms.isServerJoined(snapshot, row.room)) return undefined;
    return { row, event: rooms.roomEvent(snapshot, row.event) };
  }

  #refuse(snapshot: Snapshot, roomId: RoomId, user: UserId): void {
    const { rooms, users } = this.#parts;
    refuseBlocked(snapshot, roomId);
    const room = rooms.room(snapshot, roomId);
    const isHere = room !== undefined && rooms.isServerJoined(snapshot, room.nid);
    // In a room that this server is in the invite is the room's business, and comes with its events too.
    if (!isHere && !users.isActive(snapshot, user)) throw matrixError.forbidden('There is no such user here');
    if (users.blocksInvites(snapshot, user)) throw matrixError.inviteBlocked();
    const joined = isHere && rooms.membership(snapshot, room.nid, user)?.membership === 'join';
    if (joined) throw matrixError.forbidden('The user is in the room');
  }

  /** Where we are in the room, the invite is an event like any other, as soon as all that it stands on is here. */
  async #takenByRoom(event: RoomEvent): Promise<boolean> {
    const { db, rooms } = this.#parts;
    const isIn = db.read((snapshot) => {
      const room = rooms.room(snapshot, event.roomId);
      return room !== undefined && rooms.isServerJoined(snapshot, room.nid);
    });
    if (!isIn) return false;
    const verdict = (await rooms.input(event.roomId, [event], 'live')).get(event.eventId);
    // What the room forbids reaches nobody, whoever has signed it.
    return verdict !== undefined && verdict.kind !== 'dropped';
  }

  #isTold(snapshot: Snapshot, room: Room, user: UserId, event: RoomEvent): boolean {
    const { rooms } = this.#parts;
    const row = rooms.localMembershipAt(snapshot, user, room.nid, newest);
    return row !== undefined && row.event !== 0 && rooms.event(snapshot, row.event)?.eventId === event.eventId;
  }
}

/** Stripped state as servers sent it before they sent whole events. */
function plainStripped(text: string): JsonObject | undefined {
  const event = parseJson(text);
  if (!isJsonObject(event)) return undefined;
  const { type, state_key, sender, content } = event;
  const isWhole = event.signatures !== undefined || event.hashes !== undefined;
  if (isWhole || typeof type !== 'string' || typeof state_key !== 'string' || typeof sender !== 'string')
    return undefined;
  return isJsonObject(content) ? { type, state_key, sender, content } : undefined;
}

/** The error that an event's format earns the server that sent it. */
export const formatError = (kind: string, message: string): MatrixError =>
  kind === 'not-json' || kind === 'bad-json' ? matrixError.badJson(message) : matrixError.invalidParam(message);
