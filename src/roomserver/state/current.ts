/**
 * The current state of a room: moved from one snapshot to another together with all that hangs on it (expanded rows,
 * members, counts, local membership history, the room's state history), in one transaction (INVARIANTS 8).
 */
import type { Position, Snapshot, Tx } from '../../storage/index.ts';
import type { Transition } from '../storage/local-memberships.ts';
import type { MemberChange } from '../storage/membership.ts';
import { types } from '../storage/nids.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, RoomNid, SnapshotNid, StateKeyNid } from '../types.ts';

/** From so many changes on they are made by statements over all of them. */
const manyChanges = 200;

/** Makes `next` the room's current state as of `position`; returns the membership transitions of local users. */
export function moveCurrentState(
  stores: Stores,
  tx: Tx,
  room: RoomNid,
  next: SnapshotNid,
  position: Position,
): Transition[] {
  const { rooms, members, events, states } = stores;
  const changes = states.difference(tx, rooms.head(tx, room).snapshot, next);
  const ofMembers = changes.filter(({ type }) => type === types.member);
  rooms.setSnapshot(tx, room, next, position);
  if (changes.length >= manyChanges) {
    rooms.setState(tx, room, changes);
    const many = ofMembers.map(({ to }) => to as EventNid).filter((event) => event > 0);
    const gone = ofMembers.filter(({ to }) => to === 0).map(({ key }) => key as StateKeyNid);
    return members.applyMany(tx, room, many, gone, position, isTold(stores, tx));
  }
  for (const { type, key, to } of changes) rooms.setStateEvent(tx, room, type, key, to);
  const memberChanges = ofMembers.map(({ key, to }): MemberChange => {
    const event = to as EventNid;
    const membership = event === 0 ? 0 : events.knownMeta(tx, event).membership;
    return { user: key as StateKeyNid, membership, event };
  });
  return members.apply(tx, room, memberChanges, position, isTold(stores, tx));
}

/** Whether an event of the room is the one that reached us out of band before: its user knows it already. */
export const isTold =
  ({ events, outOfBand }: Stores, snapshot: Snapshot) =>
  (outside: EventNid, event: EventNid): boolean =>
    outside < 0 && outOfBand.event(snapshot, outside)?.event.eventId === events.knownMeta(snapshot, event).eventId;
