/** The part of `RoomReader` that tells which servers are and were in rooms (INVARIANTS 21). */
import type { ServerName } from '../../matrix/ids.ts';
import { asPosition } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Stores } from '../stores.ts';

type HostReader = Pick<
  RoomReader,
  'hostsAt' | 'hostsNow' | 'hasOtherHosts' | 'wasHost' | 'hostsOpenedAt' | 'roomsOfHost' | 'hostsSharingWith'
>;

export function hostReader({ members, partial, serverName }: Stores): HostReader {
  const { hosts } = members.servers;
  return {
    hostsAt: (snapshot, room, position) => hosts.at(snapshot, room, position),
    hostsNow: (snapshot, room) => unite(hosts.now(snapshot, room), partial.servers(snapshot, room)),
    hasOtherHosts: (snapshot, room, position) => hosts.hasOthers(snapshot, room, position, serverName),
    wasHost: (snapshot, server, room, position) => hosts.wasIn(snapshot, server, room, position),
    hostsOpenedAt: (snapshot, room, position) => hosts.openedAt(snapshot, room, position),
    roomsOfHost: (snapshot, server, since = asPosition(0)) => hosts.intervalsOf(snapshot, server, since),
    hostsSharingWith: (snapshot, user) =>
      unite(
        hosts.sharingWith(snapshot, user),
        members.joinedRooms(snapshot, user).flatMap((room) => partial.servers(snapshot, room)),
      ),
  };
}

const unite = (known: ServerName[], told: readonly ServerName[]): ServerName[] =>
  told.length === 0 ? known : [...new Set([...known, ...told])];
