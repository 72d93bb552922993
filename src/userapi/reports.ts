/** What users have reported to the people who run this server; those read it by the operator API. */
import type { UserId } from '../matrix/ids.ts';
import { sql, type Snapshot, type SqlValue, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';

/** A report of a room, of an event in one, or of a user. */
export interface NewReport {
  readonly reporter: UserId;
  readonly roomId?: string;
  readonly eventId?: string;
  /** Who sent the event. */
  readonly eventSender?: string;
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
  event_sender: string | null;
  user_id: string | null;
  reason: string | null;
  score: number | null;
  received_at: number;
}

/** Which reports are wanted; texts are looked for within the ids. */
export interface ReportQuery {
  readonly kind: 'event' | 'room' | 'user';
  readonly oldestFirst: boolean;
  readonly from: number;
  readonly limit: number;
  readonly reporter?: string | undefined;
  readonly roomId?: string | undefined;
  readonly eventSender?: string | undefined;
  readonly userId?: string | undefined;
}

type Filters = [kind: string, reporter: string | null, room: string | null, sender: string | null, user: string | null];

const insertReport = sql<SqlValue[]>(
  `INSERT INTO userapi_reports (reporter, room_id, event_id, event_sender, user_id, reason, score, received_at)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
);
const wanted = `WITH wish (kind, reporter, room, sender, user) AS (VALUES (?, ?, ?, ?, ?))
  FROM_HERE FROM userapi_reports r, wish w
  WHERE CASE w.kind WHEN 'event' THEN r.event_id IS NOT NULL WHEN 'user' THEN r.user_id IS NOT NULL
      ELSE r.room_id IS NOT NULL AND r.event_id IS NULL END
    AND (w.reporter IS NULL OR instr(r.reporter, w.reporter) > 0)
    AND (w.room IS NULL OR instr(r.room_id, w.room) > 0)
    AND (w.sender IS NULL OR r.event_sender = w.sender)
    AND (w.user IS NULL OR instr(r.user_id, w.user) > 0)`;
const page = (order: 'ASC' | 'DESC') =>
  sql<[...Filters, limit: number, from: number], Row>(
    `${wanted.replace('FROM_HERE', 'SELECT r.*')} ORDER BY r.id ${order} LIMIT ? OFFSET ?`,
  );
const selectOldest = page('ASC');
const selectNewest = page('DESC');
const countReports = sql<Filters, { total: number }>(wanted.replace('FROM_HERE', 'SELECT count(*) AS total'));
const selectReport = sql<[id: number], Row>('SELECT * FROM userapi_reports WHERE id = ?');
const deleteReport = sql<[id: number]>('DELETE FROM userapi_reports WHERE id = ?');

export class Reports {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(tx: Tx, { reporter, roomId, eventId, eventSender, userId, reason, score }: NewReport): void {
    const target = [roomId ?? null, eventId ?? null, eventSender ?? null, userId ?? null];
    tx.run(insertReport, reporter, ...target, reason ?? null, score ?? null, this.#clock.now());
  }

  /** A page of reports, and how many there are. */
  list(snapshot: Snapshot, query: ReportQuery): { readonly reports: Report[]; readonly total: number } {
    const { kind, reporter = null, roomId = null, eventSender = null, userId = null, from, limit } = query;
    const filters: Filters = [kind, reporter, roomId, eventSender, userId];
    const rows = snapshot.all(query.oldestFirst ? selectOldest : selectNewest, ...filters, limit, from);
    return { reports: rows.map(reportOf), total: snapshot.get(countReports, ...filters)?.total ?? 0 };
  }

  get(snapshot: Snapshot, id: number): Report | undefined {
    const row = snapshot.get(selectReport, id);
    return row === undefined ? undefined : reportOf(row);
  }

  /** Forgets a report; false when there is none. */
  delete(tx: Tx, id: number): boolean {
    return tx.run(deleteReport, id).changes > 0;
  }
}

const reportOf = (row: Row): Report => ({
  id: row.id,
  reporter: row.reporter,
  receivedAt: row.received_at,
  reason: row.reason ?? undefined,
  score: row.score ?? undefined,
  ...(row.room_id === null ? {} : { roomId: row.room_id }),
  ...(row.event_id === null ? {} : { eventId: row.event_id }),
  ...(row.event_sender === null ? {} : { eventSender: row.event_sender }),
  ...(row.user_id === null ? {} : { userId: row.user_id }),
});
