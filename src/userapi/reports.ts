/** What users have reported to the people who run this server; those read it by the operator API. */
import type { UserId } from '../matrix/ids.ts';
import { sql, type Snapshot, type SqlValue, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';

/** A report of a room, of an event in one, or of a user. */
export interface NewReport {
  readonly reporter: UserId;
  readonly roomId?: string;
  readonly eventId?: string;
  readonly userId?: string;
  readonly reason: string | undefined;
  readonly score?: number | undefined;
}

export interface Report extends NewReport {
  readonly id: number;
  /** ms */
  readonly receivedAt: number;
}

interface Row {
  id: number;
  reporter: UserId;
  room_id: string | null;
  event_id: string | null;
  user_id: string | null;
  reason: string | null;
  score: number | null;
  received_at: number;
}

const insertReport = sql<SqlValue[]>(
  `INSERT INTO userapi_reports (reporter, room_id, event_id, user_id, reason, score, received_at)
   VALUES (?, ?, ?, ?, ?, ?, ?)`,
);
const selectReports = sql<[before: number, limit: number], Row>(
  'SELECT * FROM userapi_reports WHERE id < ? ORDER BY id DESC LIMIT ?',
);

export class Reports {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(tx: Tx, { reporter, roomId, eventId, userId, reason, score }: NewReport): void {
    const target = [roomId ?? null, eventId ?? null, userId ?? null];
    tx.run(insertReport, reporter, ...target, reason ?? null, score ?? null, this.#clock.now());
  }

  /** Reports below an id (undefined: the newest), newest first. */
  list(snapshot: Snapshot, before: number | undefined, limit: number): Report[] {
    return snapshot.all(selectReports, before ?? Number.MAX_SAFE_INTEGER, limit).map((row) => ({
      id: row.id,
      reporter: row.reporter,
      receivedAt: row.received_at,
      reason: row.reason ?? undefined,
      score: row.score ?? undefined,
      ...(row.room_id === null ? {} : { roomId: row.room_id }),
      ...(row.event_id === null ? {} : { eventId: row.event_id }),
      ...(row.user_id === null ? {} : { userId: row.user_id }),
    }));
  }
}
