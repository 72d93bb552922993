/**
 * Numeric ids: counters, the names behind type and key NIDs, and event ids in their stored form. A number is never
 * given out twice by one process, not even when the unit that took it rolls back, so caches keyed by it cannot lie.
 */
import { sql, type Snapshot, type SqlStatement, type Tx } from '../../storage/index.ts';
import type { EventId } from '../../matrix/ids.ts';
import type { StateKeyNid, TypeNid } from '../types.ts';
import { LruCache } from '../../util/lru.ts';

/** Numbers above those on disk. */
export class Counter {
  #last: number;

  /** @param last the highest number on disk */
  constructor(last: number) {
    this.#last = last;
  }

  get last(): number {
    return this.#last;
  }

  next(): number {
    this.#last += 1;
    return this.#last;
  }
}

const highest = {
  types: sql<[], { last: number | null }>('SELECT max(nid) AS last FROM room_types'),
  keys: sql<[], { last: number | null }>('SELECT max(nid) AS last FROM room_keys'),
  rooms: sql<[], { last: number | null }>('SELECT max(nid) AS last FROM room_rooms'),
  events: sql<[], { last: number | null }>(
    `SELECT max(coalesce((SELECT max(nid) FROM room_events), 0),
       coalesce((SELECT last FROM room_numbers WHERE kind = 'events'), 0)) AS last`,
  ),
  blocks: sql<[], { last: number | null }>('SELECT max(nid) AS last FROM room_blocks'),
  snapshots: sql<[], { last: number | null }>('SELECT max(nid) AS last FROM room_snapshots'),
};

/** A counter that goes on above the numbers on disk. */
export const counterOf = (snapshot: Snapshot, kind: keyof typeof highest): Counter =>
  new Counter(snapshot.get(highest[kind])?.last ?? 0);

/** Well-known NIDs, as the migration assigns them. */
export const types = {
  create: 1,
  member: 2,
  powerLevels: 3,
  joinRules: 4,
  historyVisibility: 5,
  redaction: 7,
} as unknown as Readonly<
  Record<'create' | 'member' | 'powerLevels' | 'joinRules' | 'historyVisibility' | 'redaction', TypeNid>
>;
export const emptyKey = 1 as StateKeyNid;

interface NameStatements {
  readonly byText: SqlStatement<[text: string], { nid: number }>;
  readonly byNid: SqlStatement<[nid: number], { text: string }>;
  readonly insert: SqlStatement<[nid: number, text: string], never>;
}

/** A table of texts and their numbers. */
export class Names<N extends number> {
  readonly #statements: NameStatements;
  readonly #counter: Counter;
  readonly #nids = new LruCache<string, number>({ max: 20_000 });
  readonly #texts = new LruCache<number, string>({ max: 20_000 });
  /** Numbers up to this one that can be read are committed: only they are remembered by their text. */
  #committed: number;

  constructor(statements: NameStatements, counter: Counter) {
    this.#statements = statements;
    this.#counter = counter;
    this.#committed = counter.last;
  }

  /** Texts and numbers held in memory. */
  get cached(): number {
    return this.#nids.size + this.#texts.size;
  }

  /** The number of a text, 0: it has none. */
  find(snapshot: Snapshot, text: string): N {
    const known = this.#nids.get(text);
    if (known !== undefined) return known as N;
    const nid = snapshot.get(this.#statements.byText, text)?.nid ?? 0;
    if (nid > 0 && nid <= this.#committed) this.#nids.set(text, nid);
    return nid as N;
  }

  /** The number of a text, a new one if it has none. */
  intern(tx: Tx, text: string): N {
    const known = this.find(tx, text);
    if (known > 0) return known;
    const nid = this.#counter.next();
    tx.run(this.#statements.insert, nid, text);
    tx.afterCommit(() => (this.#committed = Math.max(this.#committed, nid)));
    return nid as N;
  }

  /** @throws Error for a number that was never given out */
  text(snapshot: Snapshot, nid: N): string {
    const known = this.#texts.get(nid);
    if (known !== undefined) return known;
    const text = snapshot.get(this.#statements.byNid, nid)?.text;
    if (text === undefined) throw new Error(`there is no name with the number ${nid}`);
    this.#texts.set(nid, text);
    return text;
  }
}

export const typeNames = (snapshot: Snapshot): Names<TypeNid> =>
  new Names(typeStatements, counterOf(snapshot, 'types'));
export const keyNames = (snapshot: Snapshot): Names<StateKeyNid> =>
  new Names(keyStatements, counterOf(snapshot, 'keys'));

const typeStatements: NameStatements = {
  byText: sql('SELECT nid FROM room_types WHERE type = ?'),
  byNid: sql('SELECT type AS text FROM room_types WHERE nid = ?'),
  insert: sql('INSERT INTO room_types (nid, type) VALUES (?, ?)'),
};
const keyStatements: NameStatements = {
  byText: sql('SELECT nid FROM room_keys WHERE key = ?'),
  byNid: sql('SELECT key AS text FROM room_keys WHERE nid = ?'),
  insert: sql('INSERT INTO room_keys (nid, key) VALUES (?, ?)'),
};

/** An event id as it is stored: a URL-safe hash as its 32 bytes, any other id as text. */
export type StoredId = Uint8Array | string;

export function storedId(eventId: string): StoredId {
  if (eventId.length !== 44) return eventId;
  const hash = eventId.slice(1);
  const bytes = Buffer.from(hash, 'base64url');
  return bytes.length === 32 && bytes.toString('base64url') === hash ? bytes : eventId;
}

export const eventIdFrom = (stored: StoredId): EventId =>
  (typeof stored === 'string'
    ? stored
    : `$${Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).toString('base64url')}`) as EventId;
