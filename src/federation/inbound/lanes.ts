/**
 * Staged events on their way to their verdicts: one lane a room, in the order of arrival, rooms side by side. A row stays
 * until its event has a verdict; one that lacks something is tried again with growing pauses, then forgotten
 * (INVARIANTS 9), and what a kill leaves is taken up at the next start.
 */
import type { RoomId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { checkPdu } from '../../matrix/pdu-check.ts';
import {
  aclAllows,
  type Outcome,
  type RemoteRooms,
  type Room,
  type RoomReader,
  type Settle,
} from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { type BackoffPolicy, nextPause } from '../../util/backoff.ts';
import type { Clock } from '../../util/clock.ts';
import { Gate } from '../../util/gate.ts';
import type { Logger } from '../../util/log.ts';
import { LruCache } from '../../util/lru.ts';
import type { OutOfBandHandler } from './handlers.ts';
import {
  deleteStaged,
  postponeOrigin,
  selectDue,
  selectNextRetry,
  stagedRooms,
  type StagedRow,
  updateRetry,
} from './staging.ts';

/** What became of a staged row; `taken`: by who knows of invites. */
export type Settled = Outcome | { readonly kind: 'taken' };

/** Events that go through the checks together. */
const batchSize = 50;
/** Rooms at work at a time. */
const mostRooms = 64;
/** Parsed events of rows that this process has staged. */
const mostParsed = 2000;
/** An origin whose batch took longer without use lets others go first. */
const slowMs = 10_000;
/** A lane that failed begins again. */
const restartMs = 5000;
const retryPolicy: BackoffPolicy = { firstMs: 2000, youngMaxMs: 60_000, youngMs: 600_000, maxMs: 900_000 };
/** Age at which an event that lacks something is forgotten; it may come again. */
const forgetMs = 2 * 3_600_000;

export interface LaneParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly remote: Pick<RemoteRooms, 'intake' | 'handshakes'>;
  readonly serverName: ServerName;
  readonly outOfBand: OutOfBandHandler | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Lanes implements AsyncDisposable {
  readonly #parts: LaneParts;
  readonly #stopping = new AbortController();
  readonly #gate = new Gate(mostRooms);
  readonly #running = new Map<string, Promise<void>>();
  /** Rooms to which something came while they were at work. */
  readonly #again = new Set<string>();
  /** When rooms are looked at again, ms. */
  readonly #scheduled = new Map<string, number>();
  readonly #parsed = new LruCache<number, RoomEvent>({ max: mostParsed });
  readonly #waiters = new Map<number, ((outcome: Settled) => void)[]>();

  constructor(parts: LaneParts) {
    this.#parts = parts;
    parts.remote.handshakes.onEnd((roomId) => this.wake(roomId));
  }

  /** Rooms at work. */
  get size(): number {
    return this.#running.size;
  }

  /** Goes on with what was staged before this start. */
  resume(): void {
    for (const room of this.#parts.db.read(stagedRooms)) this.wake(room);
  }

  /** The outcome of a staged row; ask in the turn in which it was staged. */
  outcomeOf(id: number): Promise<Settled> {
    return new Promise((resolve) => {
      const others = this.#waiters.get(id);
      if (others === undefined) this.#waiters.set(id, [resolve]);
      else others.push(resolve);
    });
  }

  /** Keeps the parsed event of a row until it is looked at. */
  keep(id: number, event: RoomEvent): void {
    this.#parsed.set(id, event);
  }

  /** Something was staged for the room, or something changed for what waits there. */
  wake(room: string): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#running.has(room)) {
      this.#again.add(room);
      return;
    }
    const lane = this.#gate
      .run(() => this.#work(room))
      .catch((error: unknown) => {
        this.#parts.log.error({ room, err: error }, 'received events could not be processed');
        this.#schedule(room, this.#parts.clock.now() + restartMs);
      })
      .finally(() => {
        this.#running.delete(room);
        if (this.#again.delete(room)) this.wake(room);
      });
    this.#running.set(room, lane);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  async #work(room: string): Promise<void> {
    const { db, clock } = this.#parts;
    while (!this.#stopping.signal.aborted) {
      this.#again.delete(room);
      const due = db.read((snapshot) => snapshot.all(selectDue, room, clock.now(), batchSize));
      const [first] = due;
      if (first === undefined) break;
      const end = due.findIndex(({ origin }) => origin !== first.origin);
      const started = performance.now();
      const rows = end === -1 ? due : due.slice(0, end);
      const settled = new Set<StagedRow>();
      const outcomes = await this.#process(room, first.origin as ServerName, rows, settled);
      // Held until a handshake has ended.
      if (outcomes === undefined) return;
      await this.#finish(room, outcomes, settled, performance.now() - started);
      // What came meanwhile has the room looked at again.
      if (rows.length === due.length && due.length < batchSize) break;
    }
    const next = db.read((snapshot) => snapshot.get(selectNextRetry, room)?.retry_at ?? null);
    if (next !== null) this.#schedule(room, next);
  }

  /**
   * Outcomes of rows of one origin; undefined: this server is just entering the room. Rows that went with the commit of
   * their verdict are put into `settled`.
   */
  async #process(
    roomId: string,
    origin: ServerName,
    rows: readonly StagedRow[],
    settled: Set<StagedRow>,
  ): Promise<Map<StagedRow, Settled> | undefined> {
    const { db, rooms, remote, serverName } = this.#parts;
    const outcomes = new Map<StagedRow, Settled>();
    const { room, joined, allowed } = db.read((snapshot) => {
      const found = rooms.room(snapshot, roomId);
      return {
        room: found,
        joined: found !== undefined && rooms.isServerJoined(snapshot, found.nid, serverName),
        allowed: found === undefined || aclAllows(snapshot, rooms, found, origin),
      };
    });
    if (room === undefined || !joined) {
      if (remote.handshakes.isUnderWay(roomId)) return undefined;
      for (const row of rows) outcomes.set(row, await this.#outOfBand(row));
      return outcomes;
    }
    const events: RoomEvent[] = [];
    const rowOf = new Map<string, StagedRow>();
    for (const row of rows) {
      const event = allowed ? this.#parse(row, room) : aclDenied;
      if ('kind' in event) outcomes.set(row, event);
      else {
        events.push(event);
        rowOf.set(event.eventId, row);
      }
    }
    const settle: Settle = (tx, eventId, outcome) => {
      const row = rowOf.get(eventId);
      if (row === undefined || outcome.kind === 'waiting') return;
      tx.run(deleteStaged, row.id);
      tx.afterCommit(() => settled.add(row));
    };
    const found = await remote.intake.receive(room, origin, events, this.#stopping.signal, settle);
    for (const [eventId, outcome] of found) {
      const row = rowOf.get(eventId);
      if (row !== undefined) outcomes.set(row, outcome);
    }
    return outcomes;
  }

  async #outOfBand({ origin, room, body }: StagedRow): Promise<Settled> {
    const answer = await this.#parts.outOfBand?.receive(origin as ServerName, room, body);
    if (answer !== undefined && answer.error === undefined) return { kind: 'taken' };
    return { kind: 'dropped', reason: answer?.error ?? notInRoom };
  }

  #parse(row: StagedRow, room: Room): RoomEvent | Outcome {
    const known = this.#parsed.get(row.id);
    if (known !== undefined) return known;
    const checked = checkPdu(row.body, room.rules, { longKeys: true });
    if (!checked.ok) return { kind: 'dropped', reason: checked.error.message };
    if (checked.value.roomId !== (row.room as RoomId)) return { kind: 'dropped', reason: 'it belongs to another room' };
    return checked.value;
  }

  /** Takes rows with a verdict away that are still there, lets the others wait, and tells who waits for them. */
  async #finish(
    room: string,
    outcomes: ReadonlyMap<StagedRow, Settled>,
    settled: ReadonlySet<StagedRow>,
    tookMs: number,
  ): Promise<void> {
    const { log } = this.#parts;
    // What lacks something because we stop is taken up at the next start.
    if (this.#stopping.signal.aborted) return;
    const left = [...outcomes].filter(([row]) => !settled.has(row));
    if (left.length > 0) await this.#store(room, left, tookMs);
    for (const [row, outcome] of outcomes) {
      if (outcome.kind !== 'accepted' && outcome.kind !== 'taken') {
        const { origin, event_id: event } = row;
        log.debug(
          { room, origin, event, outcome: outcome.kind, reason: outcome.reason },
          'a received event is not shown',
        );
      }
      this.#parsed.delete(row.id);
      const waiting = this.#waiters.get(row.id) ?? [];
      this.#waiters.delete(row.id);
      for (const resolve of waiting) resolve(outcome);
    }
  }

  /** Resolves with the commit: who waits for an outcome writes something himself before he tells anybody. */
  async #store(room: string, outcomes: readonly (readonly [StagedRow, Settled])[], tookMs: number): Promise<void> {
    const { db, clock } = this.#parts;
    const now = clock.now();
    let useless = false;
    const unit = db.begin((tx) => {
      for (const [row, outcome] of outcomes) {
        const age = now - row.received_at;
        useless ||= outcome.kind === 'waiting' || outcome.kind === 'dropped';
        if (outcome.kind !== 'waiting' || age > forgetMs) tx.run(deleteStaged, row.id);
        else tx.run(updateRetry, now + pauseAfter(row.attempts, age), row.id);
      }
      const [first] = outcomes;
      if (useless && tookMs > slowMs && first !== undefined) {
        tx.run(postponeOrigin, now + Math.round(tookMs), room, first[0].origin);
      }
    });
    await unit.committed;
  }

  #schedule(room: string, at: number): void {
    const { clock } = this.#parts;
    if ((this.#scheduled.get(room) ?? Number.POSITIVE_INFINITY) <= at) return;
    this.#scheduled.set(room, at);
    void clock.sleep(Math.max(0, at - clock.now()), this.#stopping.signal).then(() => {
      if (this.#scheduled.get(room) === at) this.#scheduled.delete(room);
      this.wake(room);
    });
  }
}

export const notInRoom = 'this server is not in the room';
const aclDenied: Outcome = { kind: 'dropped', reason: 'the room does not let this server take part' };

function pauseAfter(attempts: number, ageMs: number): number {
  let pauseMs = 0;
  for (let attempt = 0; attempt <= Math.min(attempts, 20); attempt += 1) {
    pauseMs = nextPause(retryPolicy, pauseMs, ageMs, 0);
  }
  return pauseMs;
}
