/** The part of `RoomReader` that gives the stripped state of rooms (C-S API v1.19 §Stripped state). */
import type { UserId } from '../../matrix/ids.ts';
import { strippedStateFields } from '../../matrix/stored-event.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import { currentEventNid, stateEventNid, type Stores } from '../stores.ts';
import type { EventNid, LocalMembership, RoomNid, StoredEvent } from '../types.ts';

/** What of a room's state an invited or knocking user is shown. */
const strippedTypes = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.canonical_alias',
  'm.room.name',
  'm.room.avatar',
  'm.room.topic',
  'm.room.encryption',
];

export const strippedReader = (stores: Stores): Pick<RoomReader, 'strippedState' | 'strippedEvents'> => ({
  strippedState: (snapshot, membership) => strippedState(stores, snapshot, membership),
  strippedEvents: (snapshot, room, user) => strippedEvents(stores, snapshot, room, user),
});

/** What came with an out-of-band membership; otherwise the state that the member event was sent on, and the event. */
function strippedState(stores: Stores, snapshot: Snapshot, membership: LocalMembership): string[] {
  const { user, position, event, room: roomNid } = membership;
  const kept = stores.members.local.stripped(snapshot, user, position);
  if (kept !== undefined) return (JSON.parse(kept) as unknown[]).map((member) => JSON.stringify(member));
  const own: StoredEvent | undefined = stores.events.stored(snapshot, event);
  if (own === undefined) return [];
  const pairs = [...strippedTypes.map((type) => [type, ''] as const), ['m.room.member', own.sender] as const];
  const nids = new Set(pairs.map(([type, key]) => stateEventNid(stores, snapshot, own.snapshot, type, key)));
  nids.add(event);
  const { rules } = stores.rooms.byNid(snapshot, roomNid);
  return [...nids]
    .filter((nid) => nid > 0)
    .map((nid) => JSON.stringify(strippedStateFields(stores.events.parsed(snapshot, nid, rules))));
}

function strippedEvents(stores: Stores, snapshot: Snapshot, room: RoomNid, user: UserId | undefined): EventNid[] {
  const pairs = strippedTypes.map((type): [string, string] => [type, '']);
  if (user !== undefined) pairs.push(['m.room.member', user]);
  return pairs.map(([type, key]) => currentEventNid(stores, snapshot, room, type, key)).filter((nid) => nid > 0);
}
