/**
 * Letting users of other servers in and out of the rooms that this server is in (S-S API v1.19 §Joining Rooms, §Knocking,
 * §Leaving): templates on the current state, and the checks of what comes back signed.
 */
import { matrixError } from '../matrix/errors.ts';
import { type EventId, type ServerName, type UserId, parseUserId, serverNameOf } from '../matrix/ids.ts';
import { type JsonObject, asString, isJsonObject, memberOf, parseJson } from '../matrix/json.ts';
import { checkPdu } from '../matrix/pdu-check.ts';
import { canonicalJson } from '../matrix/canonical-json.ts';
import { type RoomEvent, canonicalOptions } from '../matrix/pdu.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import {
  formatError,
  ownRoomForServer,
  type Membership,
  type Perform,
  type RemoteRooms,
  type Room,
  type RoomCore,
  type StoredEvent,
} from '../roomserver/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';

export interface ResidencyParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly remote: Pick<RemoteRooms, 'pdus' | 'recommendations'>;
  readonly serverName: ServerName;
}

/** A request about one user of the server that asks. */
export interface Visitor {
  readonly origin: ServerName;
  readonly roomId: string;
  readonly membership: Extract<Membership, 'join' | 'knock' | 'leave'>;
}

/** A signed event as it was sent. */
export interface Submission extends Visitor {
  readonly eventId: string;
  readonly text: string;
}

export interface Taken {
  readonly room: Room;
  readonly event: StoredEvent;
  /** Servers with joined members before the event. */
  readonly servers: readonly ServerName[];
}

export class Residency {
  readonly #parts: ResidencyParts;

  constructor(parts: ResidencyParts) {
    this.#parts = parts;
  }

  /**
   * The answer to `make_join`, `make_knock`, `make_leave`. `versions`: what the other server supports; undefined: any.
   * @throws M_NOT_FOUND, M_FORBIDDEN, M_INCOMPATIBLE_ROOM_VERSION, M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN
   */
  template(visitor: Visitor, user: string, versions: readonly string[] | undefined): Promise<JsonObject> {
    const { db, rooms, perform, serverName } = this.#parts;
    const { origin, roomId, membership } = visitor;
    const userId = parseUserId(user);
    if (userId === undefined) throw matrixError.invalidParam('Not a user id');
    if (serverNameOf(userId) !== origin) throw matrixError.forbidden('The user belongs to another server');
    return db.write((tx) => {
      const room = this.#room(tx, roomId, origin);
      const { version: room_version } = room.rules;
      if (versions !== undefined && !versions.includes(room_version)) {
        throw matrixError.incompatibleRoomVersion({ room_version });
      }
      const content: JsonObject = { membership };
      const authoriser = membership === 'join' ? perform.joining.authoriser(tx, room, userId) : undefined;
      if (authoriser !== undefined) content.join_authorised_via_users_server = authoriser;
      const event = rooms.template(tx, room, { type: 'm.room.member', stateKey: userId, sender: userId, content });
      return { room_version, event: { ...event, origin: serverName } };
    });
  }

  /**
   * Takes the event of `send_join`, `send_knock`, `send_leave` into the room.
   * @throws M_NOT_FOUND, M_FORBIDDEN, M_BAD_JSON, M_INVALID_PARAM, M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN
   */
  async take(submission: Submission): Promise<Taken> {
    const { db, rooms } = this.#parts;
    const { origin, roomId } = submission;
    const { room, servers } = db.read((snapshot) => {
      const found = this.#room(snapshot, roomId, origin);
      return { room: found, servers: rooms.joinedServers(snapshot, found.nid) };
    });
    const event = await this.#checked(submission, room);
    const verdict = (await rooms.input(room.roomId, [event], 'live', { broughtBy: origin })).get(event.eventId);
    if (verdict?.kind === 'dropped') throw matrixError.invalidParam(verdict.reason);
    if (verdict?.kind !== 'accepted') throw matrixError.forbidden(verdict?.reason ?? 'The event was not taken');
    const stored = db.read((snapshot) => rooms.eventById(snapshot, event.eventId));
    if (stored === undefined) throw matrixError.unknown();
    return { room, event: stored, servers };
  }

  /** A room that we can speak for. @throws M_NOT_FOUND, M_FORBIDDEN */
  #room(snapshot: Snapshot, roomId: string, origin: ServerName): Room {
    const { rooms } = this.#parts;
    const room = ownRoomForServer(snapshot, rooms, roomId, origin);
    // Who is in the room is not known yet, so nobody can be judged.
    if (rooms.isPartial(snapshot, room.nid))
      throw matrixError.notFound('This server is still entering the room itself');
    return room;
  }

  /** Receipt checks 1 to 3, and those of the endpoints. A restricted join gets our signature. */
  async #checked(submission: Submission, room: Room): Promise<RoomEvent> {
    const { db, rooms, perform, remote, serverName } = this.#parts;
    const { origin, eventId, text } = submission;
    const { rules, roomId } = room;
    let event = memberEventIn(text, rules, submission);
    if (event.roomId !== roomId || event.eventId !== (eventId as EventId)) {
      throw matrixError.invalidParam('The event is another one than the path names');
    }
    const via = asString(memberOf(event.content, 'join_authorised_via_users_server'));
    if (submission.membership === 'join' && rules.restrictedJoin) {
      const { sender } = event;
      const needed = db.read((snapshot) => perform.joining.authoriser(snapshot, room, sender) ?? '');
      if (needed !== '' && via === undefined) throw matrixError.forbidden('Nobody vouches for the join');
      // "The signature must be added before sending or persisting the event to other servers."
      if (via !== undefined && serverNameOf(via as UserId) === serverName) event = rooms.sign(event, rules);
    }
    const signed = canonicalJson(event.pdu, canonicalOptions(rules));
    const { events, failed } = await remote.pdus.check([signed], rules, { roomId });
    const [checked] = events;
    if (checked === undefined) throw matrixError.forbidden(failed[0]?.reason ?? `The event of ${origin} is not signed`);
    const { events: judged, refused } = await remote.recommendations.of(room, [checked]);
    const refusal = refused.get(checked.eventId);
    if (refusal !== undefined) throw matrixError.forbidden(refusal);
    return judged[0] ?? checked;
  }
}

/**
 * A member event of a user of the origin, told from its text.
 * @throws M_INVALID_PARAM, M_BAD_JSON; M_FORBIDDEN for users of other servers, and when its server has not signed
 */
export function memberEventIn(
  text: string,
  rules: RoomVersionRules,
  { origin, membership }: { readonly origin: ServerName; readonly membership: Membership },
): RoomEvent {
  const raw = parseJson(text);
  if (!isJsonObject(raw)) throw matrixError.badJson('The event is no object');
  if (raw.type !== 'm.room.member') throw matrixError.invalidParam('Not a member event');
  if (memberOf(raw.content, 'membership') !== membership) throw matrixError.invalidParam(`Not a ${membership} event`);
  const sender = typeof raw.sender === 'string' ? parseUserId(raw.sender) : undefined;
  if (sender === undefined || typeof raw.state_key !== 'string') throw matrixError.invalidParam('Not a member event');
  if (membership !== 'invite' && raw.state_key !== sender)
    throw matrixError.invalidParam('The event is for another user');
  if (serverNameOf(sender) !== origin) throw matrixError.forbidden('The sender belongs to another server');
  // Without a hash nothing can be signed.
  const isSigned = isJsonObject(memberOf(raw.signatures, origin)) && isJsonObject(raw.hashes);
  if (!isSigned) throw matrixError.forbidden('Its server has not signed the event');
  const checked = checkPdu(text, rules);
  if (!checked.ok) throw formatError(checked.error.kind, checked.error.message);
  return checked.value;
}
