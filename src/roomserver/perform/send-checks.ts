/** What the sender's own server checks of an event's content before it is sent. */
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { type UserId, parseRoomAlias } from '../../matrix/ids.ts';
import { type JsonObject, type JsonValue, asString, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import { relationIn } from '../query/bundle.ts';
import { contentOf } from '../query/client-event.ts';
import { currentContent } from '../query/room-auth.ts';
import type { Room } from '../types.ts';
import type { RoomAliases } from './alias.ts';

/** @throws M_DUPLICATE_ANNOTATION; M_UNKNOWN (400) for a thread on an event that has a relation itself */
export function checkRelation(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  type: string,
  content: JsonObject,
  sender: UserId,
): void {
  const relation = relationIn(content);
  if (relation?.relType === 'm.annotation') {
    const key = asString(memberOf(content['m.relates_to'], 'key'));
    if (key !== undefined) checkAnnotation(snapshot, rooms, room, type, relation.eventId, key, sender);
  }
  if (relation?.relType === 'm.thread') {
    const root = rooms.eventById(snapshot, relation.eventId);
    // "Servers SHOULD reject client requests which attempt to start a thread off an event with an m.relates_to property";
    // a rich reply has no rel_type and may carry one.
    if (root !== undefined && relationIn(contentOf(root)) !== undefined) {
      throw new MatrixError(400, 'M_UNKNOWN', 'A thread cannot start at an event that has a relation itself');
    }
  }
}

/** Nobody could leave a room that is its own successor. @throws M_INVALID_PARAM */
export function checkTombstone(room: Room, type: string, content: JsonObject): void {
  if (type === 'm.room.tombstone' && content.replacement_room === room.roomId) {
    throw matrixError.invalidParam('A room cannot be replaced by itself');
  }
}

/** §Avoiding duplicate annotations: same target, type, key and sender, unless the first one has been redacted. */
function checkAnnotation(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: Room,
  type: string,
  target: string,
  key: string,
  sender: UserId,
): void {
  const same = rooms
    .children(snapshot, room.nid, target)
    .filter((child) => child.relType === 'm.annotation' && child.type === type && child.sender === sender);
  for (const { event: nid } of same) {
    const event = rooms.event(snapshot, nid);
    const relation = event === undefined ? undefined : memberOf(contentOf(event), 'm.relates_to');
    if (memberOf(relation, 'key') === key) throw matrixError.duplicateAnnotation();
  }
}

/**
 * Aliases that are new in the event must be well-formed and point to the room; those that it names already are not looked at.
 * @throws M_INVALID_PARAM, M_BAD_ALIAS
 */
export function checkCanonicalAlias(
  snapshot: Snapshot,
  rooms: RoomReader,
  aliases: RoomAliases,
  room: Room,
  content: JsonObject,
): void {
  const current = currentContent(snapshot, rooms, room, 'm.room.canonical_alias');
  const known = new Set(current === undefined ? [] : aliasesIn(current));
  if (!Array.isArray(content.alt_aliases ?? [])) throw matrixError.invalidParam('alt_aliases must be a list');
  for (const value of aliasesIn(content)) {
    if (known.has(value)) continue;
    const alias = parseRoomAlias(asString(value) ?? '');
    if (alias === undefined) throw matrixError.invalidParam('Not a room alias');
    if (aliases.roomOf(snapshot, alias) !== room.nid) {
      throw matrixError.badAlias(`The alias ${alias} does not point to this room`);
    }
  }
}

/** `alias` (unless null or empty: none) and `alt_aliases`. */
function aliasesIn({ alias, alt_aliases: alternatives }: JsonObject): JsonValue[] {
  const others = Array.isArray(alternatives) ? alternatives : [];
  return alias === undefined || alias === null || alias === '' ? others : [alias, ...others];
}
