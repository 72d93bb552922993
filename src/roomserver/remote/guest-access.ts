/**
 * Guests of ours in rooms that users of other servers close to guests (C-S API v1.19 §m.room.guest_access): "the server
 * MUST set those users' m.room.member state to leave." For changes by our own users that is part of sending them.
 */
import type { Bus } from '../../bus/index.ts';
import { serverNameOf, type ServerName } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import type { Logger } from '../../util/log.ts';
import type { RoomCore } from '../core.ts';
import type { Perform } from '../perform/index.ts';
import { currentContent } from '../query/room-auth.ts';
import type { RoomNid } from '../types.ts';

export interface GuestAccessParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomCore;
  readonly perform: Pick<Perform, 'memberships'>;
  readonly serverName: ServerName;
  readonly log: Logger;
}

const type = 'm.room.guest_access';

/** Lets guests leave rooms that were closed to them from elsewhere, from now on. */
export function followGuestAccess({ db, bus, rooms, perform, serverName, log }: GuestAccessParts): void {
  const look = async (nid: RoomNid): Promise<void> => {
    await db.write((tx) => {
      const room = rooms.roomByNid(tx, nid);
      if (!rooms.isServerJoined(tx, nid)) return;
      if (currentContent(tx, rooms, room, type)?.guest_access !== 'can_join')
        perform.memberships.removeGuests(tx, room);
    });
  };
  bus.addListener((entries) => {
    for (const { entry } of entries) {
      if (entry.topic !== 'room.event' || entry.type !== type || !entry.stateChanged) continue;
      if (serverNameOf(entry.sender) === serverName) continue;
      look(entry.room).catch((error: unknown) => {
        log.warn({ room: entry.roomId, err: error }, 'guests were not taken out of a room that is closed to them');
      });
    }
  });
}
