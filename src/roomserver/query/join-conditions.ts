/**
 * Who may come into a room without being invited (C-S API v1.19 §m.room.join_rules, §Restricted rooms), and who may
 * therefore be shown what it is about (§Spaces, `GET /hierarchy`; `GET /room_summary`).
 */
import { joinRuleOf } from '../../matrix/auth-member.ts';
import type { RoomId, UserId } from '../../matrix/ids.ts';
import { asArray, asString, memberOf } from '../../matrix/json.ts';
import { asPosition, type Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Room } from '../types.ts';
import { isWorldReadable } from './room-access.ts';
import { currentAuthState, currentContent } from './room-auth.ts';
import { aclAllows } from './server-visibility.ts';

const endOfTime = asPosition(Number.MAX_SAFE_INTEGER);

/** The room's join rule; `invite` where none is set. */
export const joinRuleIn = (snapshot: Snapshot, rooms: RoomReader, room: Room): string =>
  joinRuleOf(currentAuthState(snapshot, rooms, room));

/** Whether the rule, in this room's version, lets members of other rooms in. */
export const isRestricted = (rule: string, { rules }: Room): boolean =>
  (rule === 'restricted' && rules.restrictedJoin) || (rule === 'knock_restricted' && rules.knockRestrictedJoin);

/** §Conditions: the rooms whose members the join rules let in, as the room names them. */
export function allowedRooms(snapshot: Snapshot, rooms: RoomReader, room: Room): RoomId[] {
  const allow = asArray(memberOf(currentContent(snapshot, rooms, room, 'm.room.join_rules'), 'allow')) ?? [];
  return allow.flatMap((condition) => {
    const roomId = asString(memberOf(condition, 'room_id'));
    return memberOf(condition, 'type') === 'm.room_membership' && roomId !== undefined ? [roomId as RoomId] : [];
  });
}

/** Whether the user is joined to one of the rooms that the join rules name, as far as this server knows. */
export const meetsJoinCondition = (snapshot: Snapshot, rooms: RoomReader, room: Room, user: UserId): boolean =>
  allowedRooms(snapshot, rooms, room).some((roomId) => {
    const other = rooms.room(snapshot, roomId);
    if (other === undefined || !rooms.isServerJoined(snapshot, other.nid)) return false;
    return rooms.membership(snapshot, other.nid, user)?.membership === 'join';
  });

/** Whether the join rules name a room of which this server cannot say who is in it. */
export const hasUnknownCondition = (snapshot: Snapshot, rooms: RoomReader, room: Room): boolean =>
  allowedRooms(snapshot, rooms, room).some((roomId) => {
    const other = rooms.room(snapshot, roomId);
    return other === undefined || !rooms.isServerJoined(snapshot, other.nid);
  });

/**
 * Whether a user (undefined: a stranger without account) may be told about a room that he may not be in: he is in it or
 * invited, may join or knock, or anybody may read it.
 */
export function mayDiscover(snapshot: Snapshot, rooms: RoomReader, room: Room, user: UserId | undefined): boolean {
  const membership = user === undefined ? undefined : rooms.membership(snapshot, room.nid, user)?.membership;
  if (membership === 'join' || membership === 'invite' || membership === 'knock') return true;
  if (isWorldReadable(snapshot, rooms, room)) return true;
  if (membership === 'ban') return false;
  const rule = joinRuleIn(snapshot, rooms, room);
  if (rule === 'public') return true;
  if (rule === 'knock' && room.rules.knocking) return true;
  if (rule === 'knock_restricted' && room.rules.knockRestrictedJoin) return true;
  return user !== undefined && isRestricted(rule, room) && meetsJoinCondition(snapshot, rooms, room, user);
}

/** What another server tells of who may come into a room. */
interface ToldConditions {
  readonly room_id: string;
  readonly join_rule: string;
  readonly world_readable: boolean;
  readonly allowed_room_ids?: readonly string[];
}

/** The same by what another server tells of a room that we are not in, but for what we know of the user ourselves. */
export function mayDiscoverTold(
  snapshot: Snapshot,
  rooms: RoomReader,
  told: ToldConditions,
  user: UserId | undefined,
): boolean {
  if (told.world_readable || ['public', 'knock', 'knock_restricted'].includes(told.join_rule)) return true;
  if (user === undefined) return false;
  const isIn = (roomId: string, ...wanted: string[]): boolean => {
    const room = rooms.room(snapshot, roomId);
    const row = room && rooms.localMembershipAt(snapshot, user, room.nid, endOfTime);
    return row !== undefined && wanted.includes(row.membership);
  };
  if (isIn(told.room_id, 'invite', 'knock', 'join')) return true;
  return told.join_rule === 'restricted' && (told.allowed_room_ids ?? []).some((roomId) => isIn(roomId, 'join'));
}

/** The same for another server: whether any of its users might be told about the room (S-S API §Spaces). */
export function mayServerDiscover(snapshot: Snapshot, rooms: RoomReader, room: Room, server: string): boolean {
  if (rooms.isServerJoined(snapshot, room.nid, server) || isWorldReadable(snapshot, rooms, room)) return true;
  // Nobody of another server could join.
  if (!room.federate || !aclAllows(snapshot, rooms, room, server)) return false;
  const rule = joinRuleIn(snapshot, rooms, room);
  if (rule === 'public' || (rule === 'knock' && room.rules.knocking)) return true;
  if (rule === 'knock_restricted' && room.rules.knockRestrictedJoin) return true;
  const admits = (roomId: string): boolean => {
    const other = rooms.room(snapshot, roomId);
    return other !== undefined && rooms.isServerJoined(snapshot, other.nid, server);
  };
  if (isRestricted(rule, room) && allowedRooms(snapshot, rooms, room).some(admits)) return true;
  const asked = ['invite', 'knock'];
  return rooms.membersOfServer(snapshot, room.nid, server).some(({ membership }) => asked.includes(membership));
}
