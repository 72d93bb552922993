/** The edit of an event that counts (C-S API v1.19 §Event replacements), whoever looks. */
import { isJsonObject, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { StoredEvent } from '../types.ts';
import { relationIn } from './bundle.ts';
import { contentOf } from './client-event.ts';

/** The most recent valid replacement of a message in clear text; undefined when there is none. */
export function latestEditOf(snapshot: Snapshot, rooms: RoomReader, event: StoredEvent): StoredEvent | undefined {
  if (event.stateKey !== null || event.redactedBy !== 0) return undefined;
  const edits = rooms
    .children(snapshot, event.room, event.eventId)
    .filter(({ relType, sender, type }) => relType === 'm.replace' && sender === event.sender && type === event.type)
    .sort((a, b) => b.originServerTs - a.originServerTs || (a.eventId < b.eventId ? 1 : -1));
  for (const { event: nid } of edits) {
    const edit = rooms.event(snapshot, nid);
    if (edit !== undefined && edit.stateKey === null && isJsonObject(memberOf(contentOf(edit), 'm.new_content'))) {
      // An edit cannot be edited.
      return relationIn(contentOf(event))?.relType === 'm.replace' ? undefined : edit;
    }
  }
  return undefined;
}
