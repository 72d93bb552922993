/** The part of `RoomReader` that tells which rooms have partial state, and since when others are whole. */
import type { RoomReader } from '../room-reader.ts';
import { presumedRooms } from '../query/presumed.ts';
import type { Stores } from '../stores.ts';

type PartialReader = Pick<
  RoomReader,
  'isPartial' | 'hasPartialRooms' | 'partialServers' | 'presumedRooms' | 'wholeSince' | 'partialSince' | 'wholeAt'
>;

export function partialReader(stores: Stores): PartialReader {
  const { partial } = stores;
  return {
    isPartial: (snapshot, room) => partial.get(snapshot, room) !== undefined,
    hasPartialRooms: (snapshot) => partial.all(snapshot).length > 0,
    partialServers: (snapshot, room) => partial.servers(snapshot, room),
    presumedRooms: (snapshot, user) => presumedRooms(stores, snapshot, user),
    wholeSince: (snapshot, room) => partial.wholeSince(snapshot, room),
    partialSince: (snapshot, room) => partial.began(snapshot, room),
    wholeAt: (snapshot, room, position) => partial.wholeAt(snapshot, room, position),
  };
}
