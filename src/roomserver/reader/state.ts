/** The part of `RoomReader` that reads the state of rooms: the current one, and those that snapshots hold. */
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Block } from '../state/blocks.ts';
import { entriesOf } from '../state/snapshots.ts';
import { types as knownTypes } from '../storage/nids.ts';
import { currentEventNid, stateEventNid, type Stores } from '../stores.ts';
import type { EventNid, StateEntry, StateKeyNid, TypeNid } from '../types.ts';

type StateReader = Pick<
  RoomReader,
  | 'currentEvent'
  | 'currentState'
  | 'currentSnapshot'
  | 'stateSize'
  | 'snapshotAt'
  | 'stateBefore'
  | 'stateAfter'
  | 'stateEvent'
  | 'stateEntries'
  | 'stateEntriesWithoutMembers'
  | 'stateDifference'
>;

export function stateReader(stores: Stores): StateReader {
  const { rooms, events, states, types, keys } = stores;
  const entry = (snapshot: Snapshot, type: number, key: number, event: number): StateEntry => ({
    type: types.text(snapshot, type as TypeNid),
    stateKey: keys.text(snapshot, key as StateKeyNid),
    event: event as EventNid,
  });
  const named = (snapshot: Snapshot, block: Block): StateEntry[] =>
    entriesOf(block).map(({ type, key, event }) => entry(snapshot, type, key, event));
  return {
    currentEvent: (snapshot, room, type, stateKey) =>
      events.stored(snapshot, currentEventNid(stores, snapshot, room, type, stateKey)),
    currentState: (snapshot, room, type) => {
      const typeNid = type === undefined ? undefined : types.find(snapshot, type);
      return rooms.state(snapshot, room, typeNid).map((row) => entry(snapshot, row.type, row.state_key, row.event));
    },
    currentSnapshot: (snapshot, room) => rooms.head(snapshot, room).snapshot,
    stateSize: (snapshot, room) => rooms.stateSize(snapshot, room),
    snapshotAt: (snapshot, room, position) => rooms.snapshotAt(snapshot, room, position),
    stateBefore: (_snapshot, event) => event.snapshot,
    stateAfter: (snapshot, event) => event.after,
    stateEvent: (snapshot, state, type, stateKey) => stateEventNid(stores, snapshot, state, type, stateKey),
    stateEntries: (snapshot, state, type) =>
      named(snapshot, states.entries(snapshot, state, type === undefined ? undefined : types.find(snapshot, type))),
    stateEntriesWithoutMembers: (snapshot, state) =>
      named(snapshot, states.entriesWithout(snapshot, state, knownTypes.member)),
    stateDifference: (snapshot, from, to) =>
      states.difference(snapshot, from, to).map((change) => {
        const { type, stateKey } = entry(snapshot, change.type, change.key, change.to);
        return { type, stateKey, from: change.from as EventNid, to: change.to as EventNid };
      }),
  };
}
