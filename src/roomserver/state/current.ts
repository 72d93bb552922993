/**
 * The current state of a room: moved from one snapshot to another together with all that hangs on it (expanded rows,
 * members, counts, local membership history, the room's state history), in one transaction (INVARIANTS 8).
 */
import type { Position, Snapshot, Tx } from '../../storage/index.ts';
import { type MemberChange, type Transition } from '../storage/membership.ts';
import { types } from '../storage/nids.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, RoomNid, SnapshotNid, StateKeyNid } from '../types.ts';

/** Makes `next` the room's current state as of `position`; returns the membership transitions of local users. */
export function moveCurrentState(
  stores: Stores,
  tx: Tx,
  room: RoomNid,
  next: SnapshotNid,
  position: Position,
): Transition[] {
  const current = stores.rooms.head(tx, room).snapshot;
  const members: MemberChange[] = [];
  for (const change of stores.states.difference(tx, current, next)) {
    stores.rooms.setStateEvent(tx, room, change.type, change.key, change.to);
    if (change.type !== types.member) continue;
    const event = change.to as EventNid;
    const membership = event === 0 ? 0 : stores.events.knownMeta(tx, event).membership;
    members.push({ user: change.key as StateKeyNid, membership, event });
  }
  stores.rooms.setSnapshot(tx, room, next, position);
  return stores.members.apply(tx, room, members, position, isTold(stores, tx));
}

/** Whether an event of the room is the one that reached us out of band before: its user knows it already. */
export const isTold =
  ({ events, outOfBand }: Stores, snapshot: Snapshot) =>
  (outside: EventNid, event: EventNid): boolean =>
    outside < 0 && outOfBand.event(snapshot, outside)?.event.eventId === events.knownMeta(snapshot, event).eventId;
