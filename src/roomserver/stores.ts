/** The roomserver's storage as one value: opened once, handed to whatever reads or writes room data. */
import type { ServerName } from '../matrix/ids.ts';
import type { AuthEvent, AuthState } from '../matrix/auth-types.ts';
import type { Snapshot } from '../storage/index.ts';
import { StateStore } from './state/snapshots.ts';
import { ErasedSenders } from './storage/erased.ts';
import { EventStore } from './storage/events.ts';
import { GraphStore } from './storage/graph.ts';
import { MemberStore } from './storage/membership.ts';
import { PartialStore } from './storage/partial.ts';
import { OutOfBandStore } from './storage/out-of-band.ts';
import { cacheMeasure, type Measure } from '../util/metrics.ts';
import { type Names, counterOf, keyNames, typeNames } from './storage/nids.ts';
import { RoomStore } from './storage/rooms.ts';
import type { EventNid, Room, SnapshotNid, StateKeyNid, TypeNid } from './types.ts';

export interface Stores {
  readonly serverName: ServerName;
  readonly types: Names<TypeNid>;
  readonly keys: Names<StateKeyNid>;
  readonly events: EventStore;
  readonly rooms: RoomStore;
  readonly graph: GraphStore;
  readonly members: MemberStore;
  readonly partial: PartialStore;
  readonly outOfBand: OutOfBandStore;
  readonly states: StateStore;
  readonly erased: ErasedSenders;
}

/** @param stateCacheBytes bound of the decoded state blocks in memory */
export function openStores(snapshot: Snapshot, serverName: ServerName, stateCacheBytes?: number): Stores {
  const types = typeNames(snapshot);
  const keys = keyNames(snapshot);
  const rooms = new RoomStore(counterOf(snapshot, 'rooms'));
  const outOfBand = new OutOfBandStore(rooms);
  return {
    serverName,
    types,
    keys,
    rooms,
    graph: new GraphStore(),
    outOfBand,
    events: new EventStore(counterOf(snapshot, 'events'), types, keys),
    members: new MemberStore(keys, rooms, serverName),
    partial: new PartialStore(keys),
    erased: new ErasedSenders(snapshot, keys),
    states: new StateStore({
      blockNids: counterOf(snapshot, 'blocks'),
      snapshotNids: counterOf(snapshot, 'snapshots'),
      ...(stateCacheBytes === undefined ? {} : { cacheBytes: stateCacheBytes }),
    }),
  };
}

/** How full the caches are. */
export const storesMeasures = ({ types, keys, events, states }: Stores): Measure[] => [
  cacheMeasure('room', 'entries', () => {
    const { blocks, snapshots } = states.cached;
    return { ...events.cached, blocks, snapshots, names: types.cached + keys.cached };
  }),
  cacheMeasure('room', 'bytes', () => ({ blocks: states.cached.bytes, texts: events.served.cached.bytes })),
];

/** The event of a pair in a stored state, 0: none. */
export function stateEventNid(
  stores: Stores,
  snapshot: Snapshot,
  state: SnapshotNid,
  type: string,
  stateKey: string,
): EventNid {
  const typeNid = stores.types.find(snapshot, type);
  const key = stores.keys.find(snapshot, stateKey);
  return (typeNid === 0 || key === 0 ? 0 : stores.states.get(snapshot, state, typeNid, key)) as EventNid;
}

/** The event of a pair in a room's current state, 0: none. */
export function currentEventNid(
  stores: Stores,
  snapshot: Snapshot,
  room: Room['nid'],
  type: string,
  stateKey: string,
): EventNid {
  const typeNid = stores.types.find(snapshot, type);
  const key = stores.keys.find(snapshot, stateKey);
  return (typeNid === 0 || key === 0 ? 0 : stores.rooms.stateEvent(snapshot, room, typeNid, key)) as EventNid;
}

/** An auth state that looks each pair up by `find`, once. */
export function authStateBy(
  stores: Stores,
  snapshot: Snapshot,
  room: Room,
  find: (type: string, stateKey: string) => EventNid,
): AuthState {
  const known = new Map<string, AuthEvent | undefined>();
  return {
    get(type, stateKey) {
      const name = `${type}\n${stateKey}`;
      if (!known.has(name)) {
        const nid = find(type, stateKey);
        known.set(name, nid === 0 ? undefined : stores.events.forAuth(snapshot, nid, room.rules));
      }
      return known.get(name);
    },
  };
}

/** A stored state to authorise against. */
export const authStateAt = (stores: Stores, snapshot: Snapshot, room: Room, state: SnapshotNid): AuthState =>
  authStateBy(stores, snapshot, room, (type, stateKey) => stateEventNid(stores, snapshot, state, type, stateKey));

/** The current state to authorise against. */
export const currentAuthState = (stores: Stores, snapshot: Snapshot, room: Room): AuthState =>
  authStateBy(stores, snapshot, room, (type, stateKey) => currentEventNid(stores, snapshot, room.nid, type, stateKey));
