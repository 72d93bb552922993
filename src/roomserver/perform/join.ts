/**
 * Joining by users of this server (C-S API v1.19 §Joining rooms, §Restricted rooms, §Guest Access): invites, public,
 * restricted and knock_restricted rooms, guests, redeemed third-party invites, successors of upgraded rooms.
 */
import { type PowerLevels, levelFor, powerLevelOf } from '../../matrix/auth-power-levels.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { type JsonObject, asString, memberOf } from '../../matrix/json.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import { hasUnknownCondition, isRestricted, joinRuleIn, meetsJoinCondition } from '../query/join-conditions.ts';
import { currentContent, currentLevels } from '../query/room-auth.ts';
import type { ProtoEvent, Room } from '../types.ts';
import type { RoomAliases } from './alias.ts';
import { refuseBlocked } from './blocked-rooms.ts';
import { memberContent } from './member-content.ts';
import type { RoomUsers } from './users.ts';

/** Proof of a redeemed third-party invite (C-S API, `third_party_signed`); `signed` is the object as it was signed. */
export interface ThirdPartySigned {
  readonly sender: UserId;
  readonly token: string;
  readonly signed: JsonObject;
}

export interface Join {
  readonly room: Room;
  readonly user: UserId;
  readonly isGuest: boolean;
  readonly reason?: string | undefined;
  /** Further members of the content, as a client wrote them; who is joined already changes his member event with it. */
  readonly content?: JsonObject | undefined;
  readonly thirdPartySigned?: ThirdPartySigned | undefined;
}

export class Joining {
  readonly #rooms: RoomCore;
  readonly #users: RoomUsers;
  readonly #aliases: RoomAliases;

  constructor(rooms: RoomCore, users: RoomUsers, aliases: RoomAliases) {
    this.#rooms = rooms;
    this.#users = users;
    this.#aliases = aliases;
  }

  /** Joins; nothing happens when the user is joined already. @throws M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_UNABLE_TO_GRANT_JOIN */
  join(tx: Tx, join: Join): void {
    const { room, user, reason } = join;
    const before = this.#rooms.membership(tx, room.nid, user)?.membership;
    if (before === 'join' && join.content === undefined) return;
    refuseBlocked(tx, room.roomId);
    if (join.isGuest && !this.#admitsGuests(tx, room)) {
      throw matrixError.guestAccessForbidden('This room does not admit guests');
    }
    if (join.thirdPartySigned !== undefined && before !== 'invite' && before !== 'join') {
      this.redeem(tx, join, join.thirdPartySigned);
    }
    const content = memberContent(tx, this.#users, { membership: 'join', target: user, reason, content: join.content });
    const authoriser = this.authoriser(tx, room, user);
    if (authoriser !== undefined) content.join_authorised_via_users_server = authoriser;
    this.#rooms.send(tx, room, { type: 'm.room.member', stateKey: user, sender: user, content });
    if (before !== 'join') this.followUpgrade(tx, room, user);
  }

  /** "Servers MUST only allow guest users to join rooms if the m.room.guest_access state event … has the value can_join." */
  #admitsGuests(tx: Tx, room: Room): boolean {
    return memberOf(currentContent(tx, this.#rooms, room, 'm.room.guest_access'), 'guest_access') === 'can_join';
  }

  /**
   * The user whose right to invite lets a stranger into a restricted room; undefined where nobody is needed.
   * @throws M_FORBIDDEN when no condition is met; M_UNABLE_TO_AUTHORISE_JOIN for users of other servers when that is not
   *   known here; M_UNABLE_TO_GRANT_JOIN when no local user may invite
   */
  authoriser(snapshot: Snapshot, room: Room, user: UserId): UserId | undefined {
    if (!isRestricted(joinRuleIn(snapshot, this.#rooms, room), room)) return undefined;
    const membership = this.#rooms.membership(snapshot, room.nid, user)?.membership;
    // "If the user has an invite to the room then the restrictions will not affect them." A ban is for the auth rules.
    if (membership === 'invite' || membership === 'join' || membership === 'ban') return undefined;
    if (!meetsJoinCondition(snapshot, this.#rooms, room, user)) {
      // "This can happen if the server does not know about any of the rooms listed as conditions."
      if (!this.#users.isLocal(user) && hasUnknownCondition(snapshot, this.#rooms, room))
        throw matrixError.unableToAuthoriseJoin();
      throw matrixError.forbidden('You are neither invited nor in one of the rooms whose members may join');
    }
    const authoriser = this.#inviter(snapshot, room, currentLevels(snapshot, this.#rooms, room));
    if (authoriser === undefined) throw matrixError.unableToGrantJoin();
    return authoriser;
  }

  /** A joined user of this server who may invite. */
  #inviter(snapshot: Snapshot, room: Room, levels: PowerLevels): UserId | undefined {
    const needed = levelFor('invite', levels);
    const mayInvite = (user: string): user is UserId => {
      const id = user as UserId;
      if (!this.#users.isLocal(id) || powerLevelOf(id, levels) < needed) return false;
      return this.#rooms.membership(snapshot, room.nid, id)?.membership === 'join';
    };
    // Those with levels of their own are few; everybody is looked at only where everybody may invite.
    for (const user of [...levels.privileged, ...levels.table.users.keys()]) if (mayInvite(user)) return user;
    if (levels.soleAdmin !== undefined && mayInvite(levels.soleAdmin)) return levels.soleAdmin;
    if (levelFor('users_default', levels) < needed) return undefined;
    return this.#rooms.joinedLocalUsers(snapshot, room.nid).find(mayInvite);
  }

  /**
   * Turns a third-party invite into an invite of this user, by its sender; the auth rules check the signature.
   * @throws M_FORBIDDEN
   */
  redeem(tx: Tx, who: Pick<Join, 'room' | 'user'>, signed: ThirdPartySigned): void {
    const { sender } = signed;
    if (!this.#users.isLocal(sender)) throw matrixError.forbidden('The invite was sent by a user of another server');
    this.#rooms.send(tx, who.room, this.#redeeming(tx, who, signed));
  }

  /**
   * The same for an invite by a user of another server, in a room that we are in: the event is ours to authorise, sign and
   * send (S-S API §Third-party invites). It becomes part of the room by `input`. @throws M_FORBIDDEN
   */
  redeemed(tx: Tx, who: Pick<Join, 'room' | 'user'>, signed: ThirdPartySigned): RoomEvent {
    return this.#rooms.build(tx, who.room, this.#redeeming(tx, who, signed));
  }

  #redeeming(
    tx: Tx,
    { room, user }: Pick<Join, 'room' | 'user'>,
    { sender, token, signed }: ThirdPartySigned,
  ): ProtoEvent {
    const invite = currentContent(tx, this.#rooms, room, 'm.room.third_party_invite', token);
    if (invite === undefined) throw matrixError.forbidden('There is no such third-party invite');
    const third_party_invite: JsonObject = { display_name: asString(memberOf(invite, 'display_name')) ?? '', signed };
    const wish = { membership: 'invite' as const, target: user, content: { third_party_invite } };
    const content = memberContent(tx, this.#users, wish);
    return { type: 'm.room.member', stateKey: user, sender, content };
  }

  /** An upgrade made by hand ends with its tombstone: who is in the new room already is served now. */
  followTombstone(tx: Tx, old: Room, tombstone: JsonObject): void {
    const fresh = this.#rooms.room(tx, asString(tombstone.replacement_room) ?? '');
    if (fresh === undefined) return;
    const create = currentContent(tx, this.#rooms, fresh, 'm.room.create');
    if (memberOf(memberOf(create, 'predecessor'), 'room_id') !== old.roomId) return;
    for (const { user } of this.#rooms.members(tx, fresh.nid, 'join')) {
      if (this.#users.isLocal(user)) this.#users.followUpgrade(tx, user, old.roomId, fresh.roomId);
    }
  }

  /** "When a user joins the new room, the server should automatically transfer … personalized settings." */
  followUpgrade(tx: Tx, room: Room, user: UserId): void {
    const create = currentContent(tx, this.#rooms, room, 'm.room.create');
    const old = this.#rooms.room(tx, asString(memberOf(memberOf(create, 'predecessor'), 'room_id')) ?? '');
    if (old === undefined) return;
    // Anybody can name a predecessor: it must name this room in turn.
    const tombstone = currentContent(tx, this.#rooms, old, 'm.room.tombstone');
    if (memberOf(tombstone, 'replacement_room') !== room.roomId) return;
    this.#users.followUpgrade(tx, user, old.roomId, room.roomId);
    // Where another server made the upgrade, ours are still with the old room.
    this.#aliases.followUpgrade(tx, old, room);
  }
}
