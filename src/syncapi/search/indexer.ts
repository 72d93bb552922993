/**
 * Keeps the search index: a lagging consumer of the log. An event is indexed under its own number with the words of its
 * latest edit, if it has one; redacted, purged and withdrawn ones go. Nothing is derived from who may see it: that is
 * asked when somebody searches.
 */
import type { Consumer, ConsumerContents, StoredEntry } from '../../bus/index.ts';
import { asString, asObject, memberOf } from '../../matrix/json.ts';
import {
  contentOf,
  type EventNid,
  latestEditOf,
  type Place,
  plainTopic,
  relationIn,
  type RoomReader,
  type StoredEvent,
} from '../../roomserver/index.ts';
import { sql, type Snapshot, type SqlValue, type Tx } from '../../storage/index.ts';
import { indexedWords } from '../../util/words.ts';

const insertText = sql<[nid: number, body: string, name: string, topic: string, room: string]>(
  'INSERT INTO search_text (rowid, body, name, topic, room) VALUES (?, ?, ?, ?, ?)',
);
const deleteText = sql<[nid: number]>('DELETE FROM search_text WHERE rowid = ?');
const insertEvent = sql<SqlValue[]>(
  'INSERT INTO search_events (nid, room, slot, live, depth, edit) VALUES (?, ?, ?, ?, ?, ?)',
);
const deleteEvent = sql<[nid: number]>('DELETE FROM search_events WHERE nid = ?');
const selectEdited = sql<[edit: number], { nid: EventNid }>(
  'SELECT nid FROM search_events WHERE edit = ? AND edit > 0',
);
const selectPurged = sql<[room: number, upTo: number], { nid: EventNid }>(
  'SELECT nid FROM search_events WHERE room = ? AND slot <= ?',
);
const clearText = sql<[]>("INSERT INTO search_text (search_text) VALUES ('delete-all')");
const clearEvents = sql<[]>('DELETE FROM search_events');

/** The word that stands for a room in the index. */
export const roomWord = (room: number): string => `r${room}`;

/** Events looked at in one step of a rebuild. */
const rebuildStep = 500;

/** Event type → the column that takes its text. */
type Column = 'body' | 'name' | 'topic';
const columns: Readonly<Record<string, Column>> = {
  'm.room.message': 'body',
  'm.room.name': 'name',
  'm.room.topic': 'topic',
};

const contents: ConsumerContents = {
  tables: ['search_text', 'search_events'],
  text: 'search_text',
  query: (schema, words) =>
    `SELECT 'event ' || nid AS what, concat_ws(' ', room, slot, live, depth, edit) AS value FROM ${schema}.search_events
     UNION ALL SELECT 'words of event ' || doc, group_concat(col || ':' || term, ' ')
       FROM (SELECT doc, col, term FROM temp.${words} ORDER BY doc, col, offset) GROUP BY doc`,
};

export function searchConsumer(rooms: RoomReader): Consumer {
  return {
    name: 'search',
    version: 1,
    keyOf,
    apply: (tx, entry) => apply(tx, rooms, entry),
    contents,
    clear: (tx) => {
      tx.run(clearText);
      tx.run(clearEvents);
    },
    rebuild: (tx, cursor) => {
      const events = rooms.eventsAfter(tx, cursor as EventNid, rebuildStep);
      for (const event of events) index(tx, rooms, event);
      return events.at(-1)?.nid;
    },
  };
}

function keyOf(entry: StoredEntry): string | undefined {
  switch (entry.topic) {
    case 'room.event':
      return columns[entry.type] === undefined ? undefined : String(entry.room);
    case 'room.backfilled':
    case 'event.redacted':
    case 'event.withdrawn':
    case 'room.purged':
      return String(entry.room);
    case 'room.state':
    case 'room.unpartial':
    case 'room.membership':
    case 'room.receipt':
    case 'user.account_data':
    case 'user.counts':
    case 'user.device_list':
    case 'user.profile':
    case 'device.to_device':
    case 'device.key_counts':
      return undefined;
  }
}

function apply(tx: Tx, rooms: RoomReader, entry: StoredEntry): void {
  if (entry.topic === 'room.event' || entry.topic === 'room.backfilled') {
    const event = rooms.event(tx, entry.event);
    if (event !== undefined) index(tx, rooms, event);
    const edited = event && editedBy(tx, rooms, event);
    if (edited !== undefined) index(tx, rooms, edited);
  } else if (entry.topic === 'event.redacted' || entry.topic === 'event.withdrawn') {
    remove(tx, entry.event);
    for (const { nid } of tx.all(selectEdited, entry.event)) reindex(tx, rooms, nid);
  } else if (entry.topic === 'room.purged') {
    // What was filled in before an event that is left has that one's slot.
    const upTo = Math.min(entry.upTo + 1, Number.MAX_SAFE_INTEGER);
    for (const { nid } of tx.all(selectPurged, entry.room, upTo)) {
      // What a purge spares stays.
      if (rooms.event(tx, nid)?.place === undefined) remove(tx, nid);
    }
  }
}

/** The event that this one edits; undefined when it is no edit. */
function editedBy(snapshot: Snapshot, rooms: RoomReader, event: StoredEvent): StoredEvent | undefined {
  if (!event.client.includes('m.replace')) return undefined;
  const relation = relationIn(contentOf(event));
  if (relation?.relType !== 'm.replace') return undefined;
  const original = rooms.eventById(snapshot, relation.eventId);
  return original?.room === event.room ? original : undefined;
}

function reindex(tx: Tx, rooms: RoomReader, nid: EventNid): void {
  const event = rooms.event(tx, nid);
  if (event === undefined) remove(tx, nid);
  else index(tx, rooms, event);
}

function remove(tx: Tx, nid: EventNid): void {
  if (tx.run(deleteEvent, nid).changes > 0) tx.run(deleteText, nid);
}

/** Brings the row of an event to what the event says now. */
function index(tx: Tx, rooms: RoomReader, event: StoredEvent): void {
  remove(tx, event.nid);
  const entry = entryOf(tx, rooms, event);
  if (entry === undefined) return;
  const { column, words, edit, place } = entry;
  const wordsIn = (own: Column): string => (own === column ? words : '');
  tx.run(insertText, event.nid, wordsIn('body'), wordsIn('name'), wordsIn('topic'), roomWord(event.room));
  tx.run(insertEvent, event.nid, event.room, place.slot, place.live, place.depth, edit);
}

interface IndexEntry {
  readonly column: Column;
  readonly words: string;
  /** The edit that the words are from; 0: none. */
  readonly edit: EventNid;
  readonly place: Place;
}

/** What stands of an event in the index; undefined: nothing. */
function entryOf(snapshot: Snapshot, rooms: RoomReader, event: StoredEvent): IndexEntry | undefined {
  const { place } = event;
  const column = columns[event.type];
  if (place === undefined || column === undefined || event.redactedBy !== 0) return undefined;
  const edit = column === 'body' ? latestEditOf(snapshot, rooms, event) : undefined;
  const words = indexedWords(textOf(event, edit));
  return words === '' ? undefined : { column, words, edit: edit?.nid ?? (0 as EventNid), place };
}

function textOf(event: StoredEvent, edit: StoredEvent | undefined): string {
  const content = asObject(contentOf(event));
  const isState = event.stateKey !== null;
  if (event.type === 'm.room.name') return isState ? (asString(memberOf(content, 'name')) ?? '') : '';
  if (event.type === 'm.room.topic') {
    if (!isState) return '';
    const texts = new Set([asString(memberOf(content, 'topic')), plainTopic(content)]);
    return [...texts].filter((text) => text !== undefined).join('\n');
  }
  if (isState || relationIn(content)?.relType === 'm.replace') return '';
  const said = edit === undefined ? content : memberOf(contentOf(edit), 'm.new_content');
  return asString(memberOf(said, 'body')) ?? '';
}
