/**
 * What another server may be told of a room (S-S API v1.19 §Server Access Control Lists, §Backfilling; C-S API §Room
 * History Visibility): only servers with a joined user that the room's ACL lets in are told anything; of the events, those
 * that no user of theirs may see come redacted, and so do events of erased senders (INVARIANTS 17).
 *
 * Whole states and auth chains are not redacted: auth rules read what a redaction takes away (third-party invites), and
 * every server gets the state in force when it joins.
 */
import { matrixError } from '../../matrix/errors.ts';
import { type HistoryVisibility, historyVisibilityIn, mayServerView } from '../../matrix/history-visibility.ts';
import { type UserId, serverNameOf } from '../../matrix/ids.ts';
import { isServerAllowed } from '../../matrix/server-acl.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Membership, Room, SnapshotNid, StoredEvent } from '../types.ts';
import { currentContent } from './room-auth.ts';

/** Whether the room's ACL in force lets a server take part. */
export const aclAllows = (snapshot: Snapshot, rooms: RoomReader, room: Room, server: string): boolean =>
  isServerAllowed(currentContent(snapshot, rooms, room, 'm.room.server_acl'), server);

/** "If the server is denied access to a room, the receiving server MUST reply with a 403." @throws M_FORBIDDEN */
export function demandAcl(snapshot: Snapshot, rooms: RoomReader, room: Room, server: string): void {
  if (!aclAllows(snapshot, rooms, room, server)) throw matrixError.forbidden('The server is banned from the room');
}

/** A room that the server is in and may ask about. @throws M_FORBIDDEN, for unknown rooms too */
export function roomForServer(snapshot: Snapshot, rooms: RoomReader, roomId: string, server: string): Room {
  const room = rooms.room(snapshot, roomId);
  if (room !== undefined) demandAcl(snapshot, rooms, room, server);
  if (room === undefined || !rooms.isServerJoined(snapshot, room.nid, server)) {
    throw matrixError.forbidden('Your server is not in this room');
  }
  return room;
}

/** A room that this server is in and can speak of to another one. @throws M_NOT_FOUND, M_FORBIDDEN for banned servers */
export function ownRoomForServer(snapshot: Snapshot, rooms: RoomReader, roomId: string, server: string): Room {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined || !rooms.isServerJoined(snapshot, room.nid)) {
    throw matrixError.notFound('This server is not in the room');
  }
  demandAcl(snapshot, rooms, room, server);
  return room;
}

/** How one server sees the events of one room. Valid as long as its snapshot. */
export class ServerView {
  readonly #snapshot: Snapshot;
  readonly #rooms: RoomReader;
  readonly #room: Room;
  readonly #server: string;
  readonly #joinedNow: boolean;
  readonly #visibilities = new Map<SnapshotNid, HistoryVisibility>();
  readonly #memberships = new Map<SnapshotNid, Membership | undefined>();
  #users: readonly UserId[] | undefined;

  constructor(snapshot: Snapshot, rooms: RoomReader, room: Room, server: string) {
    this.#snapshot = snapshot;
    this.#rooms = rooms;
    this.#room = room;
    this.#server = server;
    this.#joinedNow = rooms.isServerJoined(snapshot, room.nid, server);
  }

  /** Whether a user of the server may see the event. */
  mayView(event: StoredEvent): boolean {
    const { stateKey, snapshot: before } = event;
    // Whoever joins gets the state in force, and outliers are only known as parts of states and auth chains.
    if (before === 0 || this.#isInForce(event)) return this.#joinedNow;
    const isMember = event.type === 'm.room.member' && stateKey !== null && this.#isOfServer(stateKey);
    const differs = isMember || (event.type === 'm.room.history_visibility' && stateKey !== null);
    const after = differs ? this.#rooms.stateAfter(this.#snapshot, event) : before;
    return mayServerView({
      before: this.#visibilityAt(before),
      after: this.#visibilityAt(after),
      memberships: this.#membershipsAt(before, after),
      joinedLater: this.#joinedNow,
    });
  }

  /** JSON text of the PDU, redacted where the server may not see it. */
  pduText(event: StoredEvent): string {
    return this.#rooms.pduText(this.#snapshot, event.nid, this.#isErased(event) || !this.mayView(event));
  }

  #isErased({ sender, type, stateKey }: StoredEvent): boolean {
    if (!this.#rooms.isErased(sender)) return false;
    // State that others rely on, such as the room's name, stays.
    return stateKey === null || (type === 'm.room.member' && stateKey === sender);
  }

  #isInForce({ nid, type, stateKey }: StoredEvent): boolean {
    return stateKey !== null && this.#rooms.currentEvent(this.#snapshot, this.#room.nid, type, stateKey)?.nid === nid;
  }

  #isOfServer(user: string): boolean {
    return user.includes(':') && serverNameOf(user as UserId) === this.#server;
  }

  #visibilityAt(state: SnapshotNid): HistoryVisibility {
    const known = this.#visibilities.get(state);
    if (known !== undefined) return known;
    const nid = this.#rooms.stateEvent(this.#snapshot, state, 'm.room.history_visibility', '');
    const visibility = historyVisibilityIn(nid === 0 ? undefined : this.#rooms.roomEvent(this.#snapshot, nid).content);
    this.#visibilities.set(state, visibility);
    return visibility;
  }

  /** Looked up only where the history visibility asks for them. */
  *#membershipsAt(before: SnapshotNid, after: SnapshotNid): Iterable<Membership | undefined> {
    for (const state of new Set([before, after])) {
      const visibility = this.#visibilityAt(state);
      if (visibility === 'world_readable' || (visibility === 'shared' && this.#joinedNow)) return;
    }
    yield this.#strongestAt(before);
    if (after !== before) yield this.#strongestAt(after);
  }

  /** `join` if any user of the server was joined, else `invite` if any was invited. */
  #strongestAt(state: SnapshotNid): Membership | undefined {
    if (this.#memberships.has(state)) return this.#memberships.get(state);
    this.#users ??= this.#rooms.membersOfServer(this.#snapshot, this.#room.nid, this.#server).map(({ user }) => user);
    let strongest: Membership | undefined;
    for (const user of this.#users) {
      const nid = this.#rooms.stateEvent(this.#snapshot, state, 'm.room.member', user);
      const membership = nid === 0 ? undefined : this.#rooms.membershipOf(this.#snapshot, nid);
      if (membership === 'invite' || membership === 'join') strongest = membership;
      if (membership === 'join') break;
    }
    this.#memberships.set(state, strongest);
    return strongest;
  }
}
