/**
 * Membership as users ask for it, whichever servers the room is on: what is decided here is done here, for everything else
 * servers in the room are asked (S-S API v1.19 §Joining Rooms … §Third-party invites). One handshake of a room at a time:
 * who comes second finds the room joined. Nothing here runs inside a transaction.
 */
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { RoomId, UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { KeyedQueue } from '../../util/keyed-queue.ts';
import { refuseBlocked } from '../perform/blocked-rooms.ts';
import type { ThirdPartySigned } from '../perform/join.ts';
import { memberContent } from '../perform/member-content.ts';
import { findRoom } from '../query/room-access.ts';
import {
  Entrance,
  type Entry,
  type JoinEntry,
  type RemoteMembershipParts,
  exchangeInvite,
  isOurs,
  roomNamed,
} from './entrance.ts';
import { RemoteInvites } from './invite-user.ts';
import { RemoteKnocking } from './knock-room.ts';
import { RemoteLeaving } from './leave-room.ts';
import { OutOfBand } from './out-of-band.ts';
import { residentsOf } from './residents.ts';

export interface InviteWish {
  readonly roomId: string;
  readonly sender: UserId;
  readonly target: UserId;
  readonly reason?: string | undefined;
  readonly isDirect?: boolean | undefined;
  readonly content?: JsonObject | undefined;
}

export class RemoteMemberships {
  readonly outOfBand: OutOfBand;
  readonly #parts: RemoteMembershipParts;
  readonly #entrance: Entrance;
  readonly #leaving: RemoteLeaving;
  readonly #knocking: RemoteKnocking;
  readonly #invites: RemoteInvites;
  readonly #rooms = new KeyedQueue<RoomId>();

  constructor(parts: RemoteMembershipParts) {
    this.#parts = parts;
    const { perform } = parts;
    const { pdus } = parts.remote;
    this.outOfBand = new OutOfBand({ ...parts, pdus });
    const all = { ...parts, pdus, outOfBand: this.outOfBand };
    this.#entrance = new Entrance(all);
    this.#leaving = new RemoteLeaving(all);
    this.#knocking = new RemoteKnocking(all);
    this.#invites = new RemoteInvites({ ...parts, memberships: perform.memberships });
  }

  /**
   * Joins a room; resolves with its id.
   * @throws M_FORBIDDEN, M_NOT_FOUND, M_GUEST_ACCESS_FORBIDDEN, M_INCOMPATIBLE_ROOM_VERSION, M_UNABLE_TO_AUTHORISE_JOIN,
   *   M_UNABLE_TO_GRANT_JOIN, M_UNKNOWN (502)
   */
  async join(entry: JoinEntry): Promise<RoomId> {
    const { roomId, servers } = await roomNamed(this.#parts, entry);
    await this.#rooms.run(roomId, () => this.#entrance.enter(roomId, entry, servers));
    return roomId;
  }

  /** Asks to be let into a room; resolves with its id. @throws M_FORBIDDEN, M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION, M_UNKNOWN (502) */
  async knock(entry: Entry): Promise<RoomId> {
    const { db, rooms, perform, users } = this.#parts;
    const { user, reason, content } = entry;
    const { roomId, servers } = await roomNamed(this.#parts, entry);
    await this.#rooms.run(roomId, async () => {
      const decidesHere = db.read((snapshot) => isOurs(this.#parts, snapshot, roomId, user));
      if (decidesHere) {
        return db.write((tx) =>
          perform.memberships.knock(tx, { room: findRoom(tx, rooms, roomId), sender: user, reason, content }),
        );
      }
      const wish = db.read((snapshot) => {
        refuseBlocked(snapshot, roomId);
        return {
          content: memberContent(snapshot, users, { membership: 'knock', target: user, reason, content }),
          servers: residentsOf(snapshot, rooms, { roomId, user, via: servers }),
        };
      });
      return this.#knocking.knock({ roomId, user, ...wish });
    });
    return roomId;
  }

  /** Leaves a room, rejects an invite or withdraws a knock. @throws M_NOT_FOUND, M_FORBIDDEN, M_CANNOT_LEAVE_SERVER_NOTICE_ROOM */
  async leave({ room: target, user, reason, content }: Omit<Entry, 'via'>): Promise<void> {
    const { db, rooms, perform } = this.#parts;
    const { roomId } = await roomNamed(this.#parts, { room: target, via: [] });
    await this.#rooms.run(roomId, async () => {
      const outside = db.read((snapshot) => {
        const row = this.outOfBand.membershipOf(snapshot, roomId, user);
        const asks = row?.membership === 'invite' || row?.membership === 'knock';
        if (row?.outOfBand === true && row.membership === 'leave') return 'left';
        return asks && !isOurs(this.#parts, snapshot, roomId, user) ? rooms.roomByNid(snapshot, row.room) : undefined;
      });
      if (outside === 'left') return;
      if (outside !== undefined) return this.#leaving.leave({ room: outside, user, reason, content });
      await db.write((tx) => {
        const room = rooms.room(tx, roomId);
        if (room === undefined) throw matrixError.notFound('There is no such room');
        perform.memberships.leave(tx, { room, sender: user, reason, content });
      });
    });
  }

  /**
   * Invites a user of any server; resolves with the id of the member event, undefined where one was in force.
   * @throws M_FORBIDDEN, M_INVITE_BLOCKED, M_UNKNOWN (502)
   */
  async invite(wish: InviteWish): Promise<string | undefined> {
    const { db, rooms, perform, users } = this.#parts;
    const { roomId, target } = wish;
    if (users.isLocal(target)) {
      return db.write((tx) => {
        const room = findRoom(tx, rooms, roomId);
        perform.memberships.invite(tx, { ...wish, room });
        return rooms.currentEvent(tx, room.nid, 'm.room.member', target)?.eventId;
      });
    }
    return this.#invites.invite({
      ...wish,
      findRoom: (snapshot) => {
        const room = findRoom(snapshot, rooms, roomId);
        if (!room.federate) throw matrixError.forbidden('The room is not open to users of other servers');
        return room;
      },
    });
  }

  /** Invites those of some users who belong to other servers; who cannot be invited is left out. */
  async inviteStrangers(users: readonly UserId[], wish: Omit<InviteWish, 'target'>): Promise<void> {
    const strangers = [...new Set(users)].filter((user) => !this.#parts.users.isLocal(user) && user !== wish.sender);
    for (const target of strangers) {
      try {
        await this.invite({ ...wish, target });
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error;
        this.#parts.log.info({ room: wish.roomId, err: error }, 'a user of another server was not invited');
      }
    }
  }

  /** See `exchangeInvite`. */
  exchange(roomId: string, user: UserId, signed: ThirdPartySigned): Promise<void> {
    return exchangeInvite(this.#parts.federation, roomId, user, signed);
  }
}

export const createRemoteMemberships = (parts: RemoteMembershipParts): RemoteMemberships =>
  new RemoteMemberships(parts);
