/** Members of partial-state rooms whom nobody has named yet (DESIGN §7). */
import { serverNameOf, type UserId } from '../../matrix/ids.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { Stores } from '../stores.ts';
import type { RoomNid } from '../types.ts';

/** Partial-state rooms that a user may be in: his server takes part, and nothing is known of himself. */
export function presumedRooms({ partial, members }: Stores, snapshot: Snapshot, user: UserId): RoomNid[] {
  const server = serverNameOf(user);
  return partial
    .all(snapshot)
    .map(({ room }) => room)
    .filter((room) => {
      if (members.member(snapshot, room, user) !== undefined) return false;
      return members.servers.isJoined(snapshot, room, server) || partial.servers(snapshot, room).includes(server);
    });
}
