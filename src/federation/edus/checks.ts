/** What the checks of all EDUs share: schemas of ids, whose user it is, and whether he is in the room. */
import * as v from 'valibot';
import { isCompliantUserId, parseUserId, serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import { isJsonObject, memberOf, parseJson } from '../../matrix/json.ts';
import { isServerAllowed } from '../../matrix/server-acl.ts';
import type { Room, RoomReader } from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';

export const safeInteger = v.pipe(v.number(), v.safeInteger());

/** The content as the schema has it; undefined when it is not valid. */
export function readContent<S extends v.GenericSchema>(schema: S, content: unknown): v.InferOutput<S> | undefined {
  const result = v.safeParse(schema, content, { abortEarly: true });
  return result.success ? result.output : undefined;
}

/** A user of the origin's own, whom clients may be shown outside of events (Appendices §Historical User IDs). */
export function userOf(origin: ServerName, text: string): UserId | undefined {
  const userId = parseUserId(text);
  return userId !== undefined && serverNameOf(userId) === origin && isCompliantUserId(userId) ? userId : undefined;
}

/**
 * A room that this server is in and the origin may take part in; `m.room.server_acl` holds for what is sent about a room
 * outside of events too (C-S API §Server ACLs).
 */
export function openRoom(snapshot: Snapshot, rooms: RoomReader, roomId: string, origin: ServerName): Room | undefined {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined || rooms.joinedLocalUsers(snapshot, room.nid, 1).length === 0) return undefined;
  const acl = rooms.currentEvent(snapshot, room.nid, 'm.room.server_acl', '');
  const content = acl === undefined ? undefined : memberOf(parseJson(acl.client), 'content');
  return isServerAllowed(isJsonObject(content) ? content : undefined, origin) ? room : undefined;
}

/**
 * Whether a user of the origin is in the room. While its members are not known (DESIGN §7), those of servers that take
 * part are believed, unless the room's state says that they have left.
 */
export function isJoined(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  userId: UserId,
  origin: ServerName,
): boolean {
  const known = rooms.membership(snapshot, room.nid, userId)?.membership;
  if (known !== undefined || !rooms.isPartial(snapshot, room.nid)) return known === 'join';
  const { nid } = room;
  return rooms.isServerJoined(snapshot, nid, origin) || rooms.partialServers(snapshot, nid).includes(origin);
}
