/**
 * Follows who is in which room: a remote user's device list goes with the last room that he shares with us
 * (INVARIANTS 19), is fetched again when updates may have been missed, and changes that were held while a room was partial
 * are told when it is whole.
 */
import type { Bus, RoomNid, StoredEntry } from '../../bus/index.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import { asPosition, type Position, type Tx } from '../../storage/index.ts';
import type { RemoteLists } from './lists.ts';

type StateMove = Extract<StoredEntry, { topic: 'room.event' | 'room.state' | 'room.unpartial' }>;
const movesState = (entry: StoredEntry): entry is StateMove =>
  entry.topic === 'room.event' || entry.topic === 'room.state' || entry.topic === 'room.unpartial';

const memberType = 'm.room.member';

export interface ListFollowerParts {
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly lists: RemoteLists;
  readonly isLocal: (user: UserId) => boolean;
}

/** Adds the projection to the bus. */
export const followLists = (parts: ListFollowerParts): void => {
  const follower = new ListFollower(parts);
  parts.bus.addProjection({
    name: 'userapi.remote_lists',
    apply: (tx, entry, position) => follower.apply(tx, entry, position),
  });
};

class ListFollower {
  readonly #rooms: RoomReader;
  readonly #lists: RemoteLists;
  readonly #isLocal: (user: UserId) => boolean;

  constructor({ rooms, lists, isLocal }: ListFollowerParts) {
    this.#rooms = rooms;
    this.#lists = lists;
    this.#isLocal = isLocal;
  }

  apply(tx: Tx, entry: StoredEntry, position: Position): void {
    if (!movesState(entry)) return;
    if (entry.topic === 'room.unpartial') this.#lists.release(tx);
    if (this.#lists.isEmpty(tx)) return;
    if (entry.topic === 'room.event') {
      if (!entry.stateChanged) return this.#wasAway(tx, entry);
      const event = this.#rooms.event(tx, entry.event);
      const before = this.#rooms.snapshotAt(tx, entry.room, asPosition(position - 1));
      // Built on the state that was current: then it has changed its own key and nothing else.
      if (event?.snapshot === before && before !== 0) {
        if (entry.type === memberType && entry.stateKey !== null) this.#left(tx, entry.room, entry.stateKey as UserId);
        return;
      }
      this.#compare(tx, entry.room, position);
    } else this.#compare(tx, entry.room, position);
  }

  /**
   * A member event came that changes nothing any more, such as one that the full state of a partial room admits late: who
   * left by it and is back has sent no updates in between.
   */
  #wasAway(tx: Tx, { type, stateKey, event }: Extract<StateMove, { topic: 'room.event' }>): void {
    if (type !== memberType || stateKey === null || this.#rooms.membershipOf(tx, event) === 'join') return;
    this.#lists.mistrust(tx, stateKey as UserId);
  }

  #compare(tx: Tx, room: RoomNid, position: Position): void {
    const before = this.#rooms.snapshotAt(tx, room, asPosition(position - 1));
    const now = this.#rooms.currentSnapshot(tx, room);
    if (before === 0 || now === 0 || before === now) return;
    for (const { type, stateKey } of this.#rooms.stateDifference(tx, before, now)) {
      if (type !== memberType) continue;
      this.#left(tx, room, stateKey as UserId);
      // Since when a user is not there whom we took for a member is not known: another room may have come too late.
      const old = this.#rooms.stateEvent(tx, before, memberType, stateKey);
      const hasGone = this.#rooms.membership(tx, room, stateKey as UserId)?.membership !== 'join';
      if (hasGone && old !== 0 && this.#rooms.membershipOf(tx, old) === 'join')
        this.#lists.mistrust(tx, stateKey as UserId);
    }
  }

  /** A member entry of this user changed. */
  #left(tx: Tx, room: RoomNid, user: UserId): void {
    if (this.#rooms.membership(tx, room, user)?.membership === 'join') return;
    if (!this.#isLocal(user)) {
      if (this.#lists.isListed(tx, user) && !this.#lists.isShared(tx, user)) this.#lists.drop(tx, user);
      return;
    }
    if (this.#rooms.joinedLocalUsers(tx, room, 1).length > 0) return;
    // We are out of this room altogether: whoever is in it may share none with us any more.
    for (const other of this.#lists.listed(tx)) {
      if (this.#rooms.membership(tx, room, other)?.membership === 'join' && !this.#lists.isShared(tx, other))
        this.#lists.drop(tx, other);
    }
  }
}
