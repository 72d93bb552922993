/** Rows of received transactions: events that wait for their verdict, and answers that are given again. */
import { sql, type Snapshot, type Tx } from '../../storage/index.ts';

/** An event that waits for its verdict. */
export interface StagedRow {
  readonly id: number;
  readonly room: string;
  readonly origin: string;
  /** null: the room's version was not known when it came. */
  readonly event_id: string | null;
  readonly body: string;
  readonly received_at: number;
  readonly attempts: number;
}

/** Rows of a room that are due, oldest first. */
export const selectDue = sql<[room: string, now: number, limit: number], StagedRow>(
  `SELECT id, room, origin, event_id, body, received_at, attempts FROM federation_staged
   WHERE room = ? AND retry_at <= ? ORDER BY id LIMIT ?`,
);
export const selectNextRetry = sql<[room: string], { retry_at: number | null }>(
  'SELECT min(retry_at) AS retry_at FROM federation_staged WHERE room = ?',
);
const selectRooms = sql<[], { room: string }>('SELECT DISTINCT room FROM federation_staged');
const countOfOrigin = sql<[origin: string], { count: number }>(
  'SELECT count(*) AS count FROM federation_staged WHERE origin = ?',
);
const countAll = sql<[], { count: number }>('SELECT count(*) AS count FROM federation_staged');
const selectId = sql<[origin: string, eventId: string], { id: number }>(
  'SELECT id FROM federation_staged WHERE origin = ? AND event_id = ?',
);
const insertStaged = sql<[room: string, origin: string, eventId: string | null, body: string, now: number]>(
  'INSERT INTO federation_staged (room, origin, event_id, body, received_at) VALUES (?, ?, ?, ?, ?)',
);
/** It was sent again: it is looked at again. */
const updateDue = sql<[id: number]>('UPDATE federation_staged SET retry_at = 0 WHERE id = ?');
export const updateRetry = sql<[retryAt: number, id: number]>(
  'UPDATE federation_staged SET attempts = attempts + 1, retry_at = ? WHERE id = ?',
);
/** All that waits of a server in a room is looked at later. */
export const postponeOrigin = sql<[retryAt: number, room: string, origin: string]>(
  'UPDATE federation_staged SET retry_at = max(retry_at, ?) WHERE room = ? AND origin = ?',
);
export const deleteStaged = sql<[id: number]>('DELETE FROM federation_staged WHERE id = ?');
const selectAnswer = sql<[origin: string, txnId: string], { answer: string }>(
  'SELECT answer FROM federation_received WHERE origin = ? AND txn_id = ?',
);
const insertAnswer = sql<[origin: string, txnId: string, now: number, answer: string]>(
  'INSERT OR REPLACE INTO federation_received (origin, txn_id, received_at, answer) VALUES (?, ?, ?, ?)',
);
const deleteAnswers = sql<[before: number, limit: number]>(
  `DELETE FROM federation_received WHERE (origin, txn_id) IN
     (SELECT origin, txn_id FROM federation_received WHERE received_at < ? LIMIT ?)`,
);

/** Rooms with staged events. */
export const stagedRooms = (snapshot: Snapshot): string[] => snapshot.all(selectRooms).map(({ room }) => room);

/** How many events of a server wait; without one: of all. */
export const stagedCount = (snapshot: Snapshot, origin?: string): number =>
  (origin === undefined ? snapshot.get(countAll) : snapshot.get(countOfOrigin, origin))?.count ?? 0;

/** Stages an event; one that its origin has sent before keeps its row. Returns the row's id. */
export function stage(
  tx: Tx,
  { room, origin, eventId, body }: { room: string; origin: string; eventId: string | undefined; body: string },
  now: number,
): number {
  const known = eventId === undefined ? undefined : tx.get(selectId, origin, eventId)?.id;
  if (known === undefined) return tx.run(insertStaged, room, origin, eventId ?? null, body, now).lastInsertRowid;
  tx.run(updateDue, known);
  return known;
}

/** The answer that a transaction got. */
export const recordedAnswer = (snapshot: Snapshot, origin: string, txnId: string): string | undefined =>
  snapshot.get(selectAnswer, origin, txnId)?.answer;

export const recordAnswer = (tx: Tx, origin: string, txnId: string, now: number, answer: string): void =>
  void tx.run(insertAnswer, origin, txnId, now, answer);

/** Forgets answers from before a time (ms), at most `limit`; returns how many. */
export const forgetAnswers = (tx: Tx, before: number, limit: number): number =>
  tx.run(deleteAnswers, before, limit).changes;
