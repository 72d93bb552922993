/**
 * Rejecting invites to rooms that this server is not in, and withdrawing knocks on them (S-S API v1.19 §Leaving Rooms): a
 * server in the room is asked to take the leave; when none does, the user is rid of it all the same.
 */
import { matrixError } from '../../matrix/errors.ts';
import { eventTemplate } from '../../matrix/event-builder.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Snapshot } from '../../storage/index.ts';
import { ok } from '../../util/result.ts';
import { memberContent } from '../perform/member-content.ts';
import type { RoomUsers } from '../perform/users.ts';
import type { EventNid, Room } from '../types.ts';
import type { RemoteJoinParts } from './join-room.ts';
import type { OutOfBand } from './out-of-band.ts';
import { askInTurn, residentsOf } from './residents.ts';
import { fromTemplate } from './template.ts';

export interface RemoteLeaveParts extends RemoteJoinParts {
  readonly users: RoomUsers;
  readonly outOfBand: OutOfBand;
}

export interface RemoteLeave {
  readonly room: Room;
  readonly user: UserId;
  readonly reason?: string | undefined;
  readonly content?: JsonObject | undefined;
}

/** Whoever turns an invite down does not wait long for servers that are gone. */
const patienceMs = 10_000;
const requestMs = 10_000;

export class RemoteLeaving {
  readonly #parts: RemoteLeaveParts;

  constructor(parts: RemoteLeaveParts) {
    this.#parts = parts;
  }

  /** Ends the user's invite or knock. @throws M_CANNOT_LEAVE_SERVER_NOTICE_ROOM */
  async leave({ room, user, reason, content }: RemoteLeave): Promise<void> {
    const { db, users, outOfBand } = this.#parts;
    const wish = db.read((snapshot) => {
      if (users.isNoticeRoom(snapshot, user, room.roomId)) throw matrixError.cannotLeaveServerNoticeRoom();
      return memberContent(snapshot, users, { membership: 'leave', target: user, reason, content });
    });
    const event = await this.#tell(room, user, wish);
    await db.write((tx) => {
      const row = outOfBand.membershipOf(tx, room.roomId, user);
      // The other side may have been faster.
      if (row?.membership === 'invite' || row?.membership === 'knock') {
        outOfBand.record(tx, room, user, 'leave', event ?? this.#ownLeave(tx, room, user, row.event, wish));
      }
    });
  }

  /** A leave that only this server's clients see: what the user asked for, standing on the invite. 0: that is not there. */
  #ownLeave(snapshot: Snapshot, room: Room, user: UserId, held: EventNid, content: JsonObject): RoomEvent | 0 {
    const { rooms, clock } = this.#parts;
    if (held === 0) return 0;
    const { rules, roomId } = room;
    const invite = rooms.roomEvent(snapshot, held);
    const reference = { eventId: invite.eventId, pdu: invite.pdu };
    const template = eventTemplate({
      rules,
      proto: { type: 'm.room.member', state_key: user, sender: user, content, room_id: roomId },
      ...{ prevEvents: [reference], authEvents: [reference], depth: invite.depth + 1, originServerTs: clock.now() },
    });
    return rooms.complete(template, rules);
  }

  /** The leave as a server of the room took it; undefined: none did. */
  async #tell({ roomId }: Room, user: UserId, content: JsonObject): Promise<RoomEvent | undefined> {
    const { db, rooms, federation, serverName, clock, log } = this.#parts;
    const servers = db.read((snapshot) => residentsOf(snapshot, rooms, { roomId, user, via: [] }));
    const asking = { serverName, clock, patienceMs, permits: (server: string) => federation.permits(server) };
    const options = { ignoreBackoff: true, timeoutMs: requestMs };
    const found = await askInTurn(servers, asking, async (server) => {
      const made = await federation.api.makeLeave(server, roomId, user, options);
      if (!made.ok) return made;
      const about = { roomId, user, membership: 'leave' as const, content, origin: serverName, now: clock.now() };
      const member = fromTemplate(rooms, made.value, about);
      if (!member.ok) return member;
      const { event, text } = member.value;
      const sent = await federation.api.sendLeave(server, roomId, event.eventId, text, options);
      return sent.ok ? ok(event) : sent;
    });
    if ('answer' in found) return found.answer;
    log.info({ room: roomId, faults: found.faults.length }, 'nobody took the rejection of an invite');
    return undefined;
  }
}
