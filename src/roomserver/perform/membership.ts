/**
 * Membership changes by users of this server (C-S API v1.19 §Room membership): invite, leave, kick, ban, unban, knock,
 * forget, and the same by `PUT /state/m.room.member`. The room's auth rules have the last word; here stands what the
 * endpoints add to them. Joining is in `join.ts`.
 */
import { levelFor, powerLevelOf } from '../../matrix/auth-power-levels.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { type JsonObject, asString } from '../../matrix/json.ts';
import { asPosition, type Snapshot, type Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import { currentLevels } from '../query/room-auth.ts';
import type { Membership, Room, StoredEvent } from '../types.ts';
import { refuseBlocked } from './blocked-rooms.ts';
import type { Joining } from './join.ts';
import { memberContent } from './member-content.ts';
import type { RoomUsers } from './users.ts';

const newest = asPosition(Number.MAX_SAFE_INTEGER);

export interface MembershipChange {
  readonly room: Room;
  readonly sender: UserId;
  readonly target: UserId;
  readonly reason?: string | undefined;
  /** Further members of the content, as a client wrote them. */
  readonly content?: JsonObject | undefined;
}

export interface Invite extends MembershipChange {
  /** The invite is for a direct chat. */
  readonly isDirect?: boolean | undefined;
}

export class Memberships {
  readonly #rooms: RoomCore;
  readonly #users: RoomUsers;
  readonly #joining: Joining;

  constructor(rooms: RoomCore, users: RoomUsers, joining: Joining) {
    this.#rooms = rooms;
    this.#users = users;
    this.#joining = joining;
  }

  /** Invites a user; nothing happens when he is invited already. @throws M_FORBIDDEN, M_INVITE_BLOCKED */
  invite(tx: Tx, change: Invite): void {
    const { room, sender, target, isDirect } = change;
    refuseBlocked(tx, room.roomId);
    if (this.#membershipOf(tx, room, target) === 'invite' && change.content === undefined) {
      this.demandRightToInvite(tx, room, sender);
      return;
    }
    // Those are asked to sign first (`remote/invite-user.ts`).
    if (!this.#users.isLocal(target))
      throw matrixError.forbidden('Users of other servers are invited by their servers');
    const content = isDirect === true ? { ...change.content, is_direct: true } : change.content;
    this.#send(tx, { ...change, content }, 'invite');
    // Judged after the room's own rules, so that only who may invite learns of it; the unit fails with it.
    if (this.#users.blocksInvites(tx, target)) throw matrixError.inviteBlocked();
  }

  /** Tells before anything is sent whether a user may invite others. @throws M_FORBIDDEN */
  demandRightToInvite(snapshot: Snapshot, room: Room, sender: UserId): void {
    const levels = currentLevels(snapshot, this.#rooms, room);
    const isJoined = this.#rooms.membership(snapshot, room.nid, sender)?.membership === 'join';
    if (!isJoined || powerLevelOf(sender, levels) < levelFor('invite', levels)) {
      throw matrixError.forbidden('You may not invite users to this room');
    }
  }

  /**
   * Leaves a room, rejects an invite or withdraws a knock; nothing happens when that was done before.
   * @throws M_FORBIDDEN, M_CANNOT_LEAVE_SERVER_NOTICE_ROOM
   */
  leave(tx: Tx, { room, sender, reason, content }: Omit<MembershipChange, 'target'>): void {
    if (this.#membershipOf(tx, room, sender) === 'leave') return;
    this.#send(tx, { room, sender, target: sender, reason, content }, 'leave');
  }

  /** @throws M_FORBIDDEN also when the target is not in the room */
  kick(tx: Tx, change: MembershipChange): void {
    const membership = this.#membershipOf(tx, change.room, change.target);
    // Otherwise the same event would lift a ban.
    if (membership === undefined || membership === 'leave' || membership === 'ban') {
      throw matrixError.forbidden('The user is not in the room');
    }
    this.#send(tx, change, 'leave');
  }

  /** @throws M_FORBIDDEN */
  ban(tx: Tx, change: MembershipChange): void {
    this.#send(tx, change, 'ban');
  }

  /** @throws M_BAD_STATE when the target is not banned; M_FORBIDDEN */
  unban(tx: Tx, change: MembershipChange): void {
    // Who is banned is for who is in the room.
    if (this.#membershipOf(tx, change.room, change.sender) !== 'join') {
      throw matrixError.forbidden('You are not in this room');
    }
    if (this.#membershipOf(tx, change.room, change.target) !== 'ban') {
      throw matrixError.badState('The user is not banned');
    }
    this.#send(tx, change, 'leave');
  }

  /** Asks to be let in; nothing happens when the user has asked already. @throws M_FORBIDDEN */
  knock(tx: Tx, { room, sender, reason, content }: Omit<MembershipChange, 'target'>): void {
    if (this.#membershipOf(tx, room, sender) === 'knock' && content === undefined) return;
    refuseBlocked(tx, room.roomId);
    this.#send(tx, { room, sender, target: sender, reason, content }, 'knock');
  }

  /** Forgets a room that the user has left. @throws M_UNKNOWN while he is in it; M_NOT_FOUND when he never was */
  forget(tx: Tx, room: Room, user: UserId): void {
    const membership = this.#rooms.localMembershipAt(tx, user, room.nid, newest)?.membership;
    if (membership === undefined) throw matrixError.notFound('You have never been in this room');
    if (membership !== 'leave' && membership !== 'ban') {
      throw new MatrixError(400, 'M_UNKNOWN', 'You have not left this room');
    }
    this.#rooms.forget(tx, room, user);
  }

  /**
   * `PUT /rooms/{roomId}/state/m.room.member/{userId}`: the same rules as by the endpoint of that membership.
   * @throws M_BAD_JSON without a known membership
   */
  putState(
    tx: Tx,
    change: MembershipChange & { readonly content: JsonObject; readonly isGuest: boolean },
  ): StoredEvent {
    const { room, sender, target, content } = change;
    const reason = asString(content.reason);
    switch (content.membership) {
      case 'join':
        if (sender !== target) throw matrixError.forbidden('You cannot join for another user');
        this.#joining.join(tx, { room, user: sender, isGuest: change.isGuest, reason, content });
        break;
      case 'invite':
        this.invite(tx, { ...change, reason });
        break;
      case 'knock':
        if (sender !== target) throw matrixError.forbidden('You cannot knock for another user');
        this.knock(tx, { ...change, reason });
        break;
      case 'leave':
      case 'ban':
        this.#send(tx, { ...change, reason }, content.membership);
        break;
      default:
        throw matrixError.badJson('A member event needs a membership: invite, join, knock, leave or ban');
    }
    const event = this.#rooms.currentEvent(tx, room.nid, 'm.room.member', target);
    if (event === undefined) throw matrixError.unknown();
    return event;
  }

  /** Removes the guests of this server from a room that no longer admits them (C-S API §Guest Access). */
  removeGuests(tx: Tx, room: Room): void {
    for (const user of this.#rooms.joinedLocalUsers(tx, room.nid)) {
      if (this.#users.isGuest(tx, user)) this.leave(tx, { room, sender: user });
    }
  }

  #send(tx: Tx, { room, sender, target, reason, content }: MembershipChange, membership: Membership): void {
    if (membership === 'leave' && sender === target) this.#checkRejection(tx, room, sender);
    this.#rooms.send(tx, room, {
      type: 'm.room.member',
      stateKey: target,
      sender,
      content: memberContent(tx, this.#users, { membership, target, reason, content }),
    });
  }

  /** "Attempting to reject the invite must result in a M_CANNOT_LEAVE_SERVER_NOTICE_ROOM error." */
  #checkRejection(tx: Tx, room: Room, user: UserId): void {
    const isInvited = this.#membershipOf(tx, room, user) === 'invite';
    if (isInvited && this.#users.isNoticeRoom(tx, user, room.roomId)) throw matrixError.cannotLeaveServerNoticeRoom();
  }

  #membershipOf(tx: Tx, room: Room, user: UserId): Membership | undefined {
    return this.#rooms.membership(tx, room.nid, user)?.membership;
  }
}
