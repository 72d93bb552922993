/** What a room is about, from its current state (C-S API v1.19 §Published room directory, §Spaces, `GET /room_summary`). */
import { type JsonObject, asArray, asString, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Room } from '../types.ts';
import { allowedRooms, isRestricted, joinRuleIn } from './join-conditions.ts';
import { isWorldReadable } from './room-access.ts';
import { currentContent } from './room-auth.ts';

/** A `PublishedRoomsChunk`. */
export interface PublishedRoom {
  readonly room_id: string;
  readonly num_joined_members: number;
  readonly world_readable: boolean;
  readonly guest_can_join: boolean;
  readonly join_rule: string;
  readonly name?: string;
  readonly topic?: string;
  readonly avatar_url?: string;
  readonly canonical_alias?: string;
  readonly room_type?: string;
}

/** A `RoomSummary`. */
export interface RoomSummary extends PublishedRoom {
  readonly room_version: string;
  readonly allowed_room_ids?: readonly string[];
  readonly encryption?: string;
}

/** A room as the directory shows it. */
export function publishedRoom(snapshot: Snapshot, rooms: RoomReader, room: Room): PublishedRoom {
  const content = (type: string): JsonObject | undefined => currentContent(snapshot, rooms, room, type);
  const text = (type: string, key: string): string | undefined => asString(memberOf(content(type), key)) || undefined;
  return {
    room_id: room.roomId,
    num_joined_members: rooms.joinedCount(snapshot, room.nid),
    world_readable: isWorldReadable(snapshot, rooms, room),
    guest_can_join: text('m.room.guest_access', 'guest_access') === 'can_join',
    join_rule: joinRuleIn(snapshot, rooms, room),
    ...present({
      name: text('m.room.name', 'name'),
      topic: plainTopic(content('m.room.topic')),
      avatar_url: text('m.room.avatar', 'url'),
      canonical_alias: text('m.room.canonical_alias', 'alias'),
      room_type: roomType(snapshot, rooms, room),
    }),
  };
}

/** The same with what only single rooms and spaces are asked for. */
export function roomSummary(snapshot: Snapshot, rooms: RoomReader, room: Room): RoomSummary {
  const published = publishedRoom(snapshot, rooms, room);
  const encryption = asString(memberOf(currentContent(snapshot, rooms, room, 'm.room.encryption'), 'algorithm'));
  return {
    ...published,
    room_version: room.rules.version,
    ...(isRestricted(published.join_rule, room) ? { allowed_room_ids: allowedRooms(snapshot, rooms, room) } : {}),
    ...present({ encryption }),
  };
}

/** `type` of the create event: `m.space` and the like. */
export const roomType = (snapshot: Snapshot, rooms: RoomReader, room: Room): string | undefined =>
  asString(memberOf(currentContent(snapshot, rooms, room, 'm.room.create'), 'type'));

/** The `text/plain` form of a topic: the block where there is one (the type is the default), else the older key. */
export function plainTopic(content: JsonObject | undefined): string | undefined {
  const block = asArray(memberOf(memberOf(content, 'm.topic'), 'm.text')) ?? [];
  const plain = block.find((form) => (memberOf(form, 'mimetype') ?? 'text/plain') === 'text/plain');
  return (asString(memberOf(plain, 'body')) ?? asString(memberOf(content, 'topic'))) || undefined;
}

/** An object without the members that are undefined. */
const present = <K extends string>(members: Record<K, string | undefined>): Partial<Record<K, string>> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Partial<Record<K, string>>;
