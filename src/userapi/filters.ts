/** Stored filters (C-S API v1.19 §Filtering): kept as uploaded, handed out parsed. The same filter gets the same id. */
import { parseFilter, type Filter } from '../matrix/filters.ts';
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject } from '../matrix/json.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';

const selectFilter = sql<[userId: string, filterId: number], { filter: string }>(
  'SELECT filter FROM userapi_filters WHERE user_id = ? AND filter_id = ?',
);
const selectSame = sql<[userId: string, filter: string], { filter_id: number }>(
  'SELECT filter_id FROM userapi_filters WHERE user_id = ? AND filter = ?',
);
const insertFilter = sql<[userId: string, filter: string, user: string]>(
  `INSERT INTO userapi_filters (user_id, filter_id, filter)
   SELECT ?, coalesce(max(filter_id), 0) + 1, ? FROM userapi_filters WHERE user_id = ?`,
);
const deleteFilters = sql<[userId: string]>('DELETE FROM userapi_filters WHERE user_id = ?');

export class Filters {
  /** Stored filters never change: parsed ones are kept by owner and id. */
  readonly #parsed = new LruCache<string, Filter>({ max: 2000 });

  /** Stores a filter and returns its id. @throws M_BAD_JSON when it is malformed */
  add(tx: Tx, userId: UserId, filter: JsonObject): string {
    const parsed = parseFilter(filter);
    if (!parsed.ok) throw matrixError.badJson(parsed.error);
    const text = JSON.stringify(filter);
    if (tx.get(selectSame, userId, text) === undefined) tx.run(insertFilter, userId, text, userId);
    tx.touch(`user:${userId}`);
    return String(tx.get(selectSame, userId, text)?.filter_id ?? 0);
  }

  /** The filter as uploaded, as JSON text. */
  text(snapshot: Snapshot, userId: UserId, filterId: string): string | undefined {
    return /^[1-9]\d{0,15}$/.test(filterId) ? snapshot.get(selectFilter, userId, Number(filterId))?.filter : undefined;
  }

  /** The filter parsed; undefined when there is none with this id. */
  get(snapshot: Snapshot, userId: UserId, filterId: string): Filter | undefined {
    const key = `${userId} ${filterId}`;
    const known = this.#parsed.get(key);
    if (known !== undefined) return known;
    const text = this.text(snapshot, userId, filterId);
    const parsed = text === undefined ? undefined : parseFilter(JSON.parse(text));
    if (parsed?.ok !== true) return undefined;
    this.#parsed.set(key, parsed.value);
    return parsed.value;
  }

  deleteAll(tx: Tx, userId: UserId): void {
    tx.run(deleteFilters, userId);
  }
}
