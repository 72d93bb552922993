/**
 * From a search term to the events that a user may be shown, best first. What is counted is only what he may see: a number
 * that counted more would tell of words that are hidden from him.
 */
import type { EventFilter } from '../../matrix/filters.ts';
import type { EventNid, RoomNid, RoomReader, StoredEvent } from '../../roomserver/index.ts';
import { sql, type Position, type Snapshot } from '../../storage/index.ts';
import type { Slice } from '../../util/slice.ts';
import type { UserId } from '../../matrix/ids.ts';
import { type Admission, admitsAny, admitsEvent } from '../event-admission.ts';
import { parseSearchTerm } from '../../util/words.ts';
import { roomWord } from './indexer.ts';

export type SearchKey = 'content.body' | 'content.name' | 'content.topic';

export interface SearchWish {
  readonly term: string;
  readonly keys: readonly SearchKey[];
  readonly orderBy: 'rank' | 'recent';
  readonly filter: EventFilter;
  /** What came later is left out, so that pages fit together. */
  readonly upTo: Position;
}

export interface Match {
  readonly event: StoredEvent;
  /** Higher is better. */
  readonly score: number;
}

interface Row {
  nid: EventNid;
  room: RoomNid;
  slot: number;
  live: number;
  depth: number;
  edit: EventNid;
  score: number;
}

/** Of more hits than these only the newest are looked at. */
const mostHits = 5000;
/** Hits that are looked at between two pauses. */
const batchSize = 250;
/** Up to this many rooms are named in the query to the index; of more, hits in other rooms are dropped afterwards. */
const namedRooms = 200;

const selectMatches = sql<[query: string, limit: number], Row>(
  `SELECT s.rowid AS nid, e.room, e.slot, e.live, e.depth, e.edit, -bm25(search_text, 1, 1, 1, 0) AS score
   FROM search_text s CROSS JOIN search_events e ON e.nid = s.rowid
   WHERE s.search_text MATCH ? ORDER BY s.rowid DESC LIMIT ?`,
);

export interface Searcher {
  readonly snapshot: Snapshot;
  readonly rooms: RoomReader;
  readonly userId: UserId;
  readonly ignored: ReadonlySet<string>;
  readonly slice: Slice;
}

/** All that a user may see of what the index finds, in the order that is asked for. */
export async function findMatches(searcher: Searcher, wish: SearchWish): Promise<Match[]> {
  const searched = searchedRooms(searcher, wish.filter);
  const query = queryOf(wish, searched);
  if (query === undefined) return [];
  const rows = searcher.snapshot
    .all(selectMatches, query, mostHits)
    .filter(({ room, slot }) => searched.has(room) && slot <= wish.upTo)
    .sort(wish.orderBy === 'rank' ? (a, b) => b.score - a.score || byRecency(a, b) : byRecency);
  const found: Match[] = [];
  for (let from = 0; from < rows.length; from += batchSize) {
    found.push(...visibleMatches(searcher, wish.filter, rows.slice(from, from + batchSize)));
    await searcher.slice.tick();
  }
  return found;
}

const byRecency = (a: Row, b: Row): number => b.slot - a.slot || b.live - a.live || b.depth - a.depth || b.nid - a.nid;

/** "All rooms that the user has been in, including those that they have left", but not those "that are end to end encrypted". */
function searchedRooms({ snapshot, rooms, userId }: Searcher, filter: EventFilter): Set<RoomNid> {
  const nids = rooms
    .localMemberships(snapshot, userId)
    .filter(({ forgotten }) => !forgotten)
    .map(({ room }) => room)
    .filter((room) => admitsAny(filter, rooms.roomByNid(snapshot, room).roomId))
    .filter((room) => rooms.currentEvent(snapshot, room, 'm.room.encryption', '') === undefined);
  return new Set(nids);
}

/** The query in the language of the index; undefined when nothing can be found. */
function queryOf({ term, keys }: SearchWish, searched: ReadonlySet<RoomNid>): string | undefined {
  const { expressions } = parseSearchTerm(term);
  if (expressions.length === 0 || searched.size === 0 || keys.length === 0) return undefined;
  const columns = keys.map((key) => key.slice('content.'.length)).join(' ');
  const words = `{${columns}} : (${expressions.join(' AND ')})`;
  if (searched.size > namedRooms) return words;
  return `${words} AND room : (${[...searched].map((room) => `"${roomWord(room)}"`).join(' OR ')})`;
}

/** Those of some hits that the user may see, in their order. */
function visibleMatches(searcher: Searcher, filter: EventFilter, rows: readonly Row[]): Match[] {
  const { snapshot, rooms, userId, ignored } = searcher;
  const hits = rows.flatMap((row) => {
    const event = rooms.event(snapshot, row.nid);
    if (event === undefined || event.redactedBy !== 0) return [];
    const { roomId } = rooms.roomByNid(snapshot, event.room);
    const admission: Admission = { snapshot, rooms, roomId, userId, ignored };
    if (!admitsEvent(admission, filter, event)) return [];
    // Found by the words of an edit: who may not see the edit must not learn of them.
    const edit = row.edit === 0 ? undefined : rooms.event(snapshot, row.edit);
    if (row.edit !== 0 && edit === undefined) return [];
    return [{ event, edit, score: row.score }];
  });
  const visible = visibleAmong(
    searcher,
    hits.flatMap(({ event, edit }) => (edit === undefined ? [event] : [event, edit])),
  );
  return hits
    .filter(({ event, edit }) => visible.has(event) && (edit === undefined || visible.has(edit)))
    .map(({ event, score }) => ({ event, score }));
}

/** Asked for by room: what is looked up for one event of a room holds for the others. */
function visibleAmong({ snapshot, rooms, userId }: Searcher, events: readonly StoredEvent[]): Set<StoredEvent> {
  const visible = new Set<StoredEvent>();
  for (const ofRoom of Map.groupBy(events, ({ room }) => room).values()) {
    for (const event of rooms.visibleTo(snapshot, userId, ofRoom)) visible.add(event);
  }
  return visible;
}
