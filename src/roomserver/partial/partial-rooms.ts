/**
 * The resync of partial-state rooms: one restartable task a room, which asks other servers for the state before its events
 * until all of it is known. Rows say how far it is; nothing else is remembered, so that a crash at any point loses no more
 * than a request.
 */
import type { EventId, RoomId, ServerName } from '../../matrix/ids.ts';
import type { Database, Snapshot, Tx } from '../../storage/index.ts';
import { nextPause, type BackoffPolicy } from '../../util/backoff.ts';
import type { Clock } from '../../util/clock.ts';
import { messageOf } from '../../util/error-text.ts';
import { collectingEarly } from '../../util/garbage.ts';
import type { Logger } from '../../util/log.ts';
import type { Measure } from '../../util/metrics.ts';
import { runSliced, Slice } from '../../util/slice.ts';
import type { PipelineTools } from '../input/job.ts';
import { type ReadState, readToldState } from '../input/told.ts';
import { ResolutionTooLarge } from '../state/resolve.ts';
import type { PartialRoom } from '../storage/partial.ts';
import type { Room, RoomNid } from '../types.ts';
import { Gate } from './gate.ts';
import { endResync, judgeWhole, nextStep, prepareEnd } from './reconcile.ts';

/** Gets the state after an event from a server: all of it is stored when this resolves. Rejects when that fails. */
export type FetchState = (
  room: Room,
  eventId: EventId,
  server: ServerName,
  signal: AbortSignal,
) => Promise<readonly EventId[]>;

export interface PartialRoomsParts {
  readonly db: Database;
  readonly tools: PipelineTools;
  readonly serverName: ServerName;
  readonly fetchState: FetchState;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How far the resync of a room is. Times in ms. */
export interface PartialProgress {
  readonly roomId: RoomId;
  readonly since: number;
  readonly joinedVia: ServerName;
  /** Events that have their full state by now, and all that need it. */
  readonly done: number;
  readonly total: number;
  readonly attempts: number;
  readonly nextAttempt: number;
  readonly failure: string | undefined;
}

const pauses: BackoffPolicy = { firstMs: 1_000, youngMaxMs: 30_000, youngMs: 600_000, maxMs: 600_000 };
/** Servers asked in one attempt. */
const serversPerAttempt = 5;
/** Between two lines in the log that tell how far a room is. */
const progressMs = 10_000;

class ResyncFailed extends Error {
  override readonly name = 'ResyncFailed';
}

export class PartialRooms implements AsyncDisposable {
  readonly #parts: PartialRoomsParts;
  readonly #gate: Gate;
  readonly #running = new Map<RoomNid, { readonly abort: AbortController; readonly ended: Promise<void> }>();
  /** Wakes a task from its pause. */
  readonly #nudges = new Map<RoomNid, () => void>();
  #stopped = false;
  #finished = 0;

  constructor(parts: PartialRoomsParts) {
    this.#parts = parts;
    this.#gate = new Gate(parts.db, parts.tools.stores.partial);
  }

  readonly measures: readonly Measure[] = [
    {
      name: 'neurite_partial_rooms',
      help: 'Rooms joined without their members whose state is not whole yet',
      kind: 'gauge',
      read: () => this.#running.size,
    },
    {
      name: 'neurite_partial_rooms_finished_total',
      help: 'Rooms joined without their members whose state became whole',
      kind: 'counter',
      read: () => this.#finished,
    },
  ];

  /** Takes up every room that is partial. */
  start(): void {
    for (const { room } of this.#parts.db.read((snapshot) => this.#partial.all(snapshot))) this.begin(room);
  }

  /** Works on a room until it is whole; nothing happens for one that is worked on, or whole. */
  begin(room: RoomNid): void {
    if (this.#stopped || this.#running.has(room)) return;
    if (!this.#parts.db.read((snapshot) => this.#partial.get(snapshot, room) !== undefined)) return;
    const abort = new AbortController();
    const ended = this.#run(room, abort.signal).finally(() => {
      this.#running.delete(room);
      // The room may have been left and joined again meanwhile.
      const again =
        !this.#stopped && this.#parts.db.read((snapshot) => this.#partial.get(snapshot, room) !== undefined);
      if (again) this.begin(room);
    });
    this.#running.set(room, { abort, ended });
  }

  /** See Gate.awaitFull. */
  awaitFull(room: RoomNid, signal: AbortSignal): Promise<void> {
    return this.#gate.awaitFull(room, signal);
  }

  /** Is told when a room is partial no more, whole or given up. */
  ended(room: RoomNid): void {
    this.#running.get(room)?.abort.abort();
    this.#gate.open(room);
  }

  /** Tries at once what waits for its next attempt; all rooms, or one. */
  nudge(room?: RoomNid): void {
    for (const [waiting, wake] of this.#nudges) if (room === undefined || room === waiting) wake();
  }

  progress(snapshot: Snapshot): PartialProgress[] {
    const { stores } = this.#parts.tools;
    return this.#partial.all(snapshot).map((row) => ({
      roomId: stores.rooms.byNid(snapshot, row.room).roomId,
      since: row.since,
      joinedVia: row.joinedVia,
      done: this.#partial.countResults(snapshot, row.room),
      total: this.#partial.countEvents(snapshot, row.room, row.joinEvent),
      attempts: row.attempts,
      nextAttempt: row.nextAttempt,
      failure: row.failure,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    const tasks = [...this.#running.values()];
    for (const { abort } of tasks) abort.abort();
    await Promise.all(tasks.map(({ ended }) => ended));
  }

  get #partial(): PipelineTools['stores']['partial'] {
    return this.#parts.tools.stores.partial;
  }

  async #run(nid: RoomNid, signal: AbortSignal): Promise<void> {
    const { db, tools, clock } = this.#parts;
    const room = db.read((snapshot) => tools.stores.rooms.byNid(snapshot, nid));
    const log = this.#parts.log.child({ room: room.roomId });
    const begun = clock.now();
    let told = begun;
    while (!signal.aborted) {
      const row = db.read((snapshot) => this.#partial.get(snapshot, nid));
      if (row === undefined) return;
      await this.#pause(row, signal);
      if (signal.aborted) return;
      try {
        if (await collectingEarly(() => this.#step(room, row, signal))) {
          this.#finished += 1;
          log.info({ ms: clock.now() - row.since }, 'the state of the room is whole');
          return;
        }
        if (clock.now() - told > progressMs) {
          told = clock.now();
          log.info(this.#countsOf(row), 'events of the room that have their full state');
        }
      } catch (error) {
        if (signal.aborted) return;
        const reason = messageOf(error);
        const attempts = row.attempts + 1;
        const last =
          row.attempts === 0 ? 0 : Math.min(pauses.maxMs, pauses.firstMs * 2 ** Math.min(20, row.attempts - 1));
        const next = clock.now() + nextPause(pauses, last, clock.now() - row.since, Math.random());
        const [level, why] =
          error instanceof ResyncFailed ? (['info', { reason }] as const) : (['warn', { err: error }] as const);
        log[level]({ ...why, attempts }, 'the state of the room could not be completed yet');
        await db.write((tx) => this.#partial.noteAttempt(tx, nid, attempts, next, reason));
      }
    }
  }

  #countsOf(row: PartialRoom): { readonly done: number; readonly total: number } {
    return this.#parts.db.read((snapshot) => ({
      done: this.#partial.countResults(snapshot, row.room),
      total: this.#partial.countEvents(snapshot, row.room, row.joinEvent),
    }));
  }

  /** Sleeps until the next attempt; a clock that was set back makes nobody wait longer than the longest pause. */
  async #pause(row: PartialRoom, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const ms = Math.min(row.nextAttempt - clock.now(), pauses.maxMs);
    if (ms <= 0) return;
    const nudged = new AbortController();
    this.#nudges.set(row.room, () => nudged.abort());
    try {
      await clock.sleep(ms, AbortSignal.any([signal, nudged.signal]));
    } finally {
      this.#nudges.delete(row.room);
    }
  }

  /** One event, or the end; true when the room is whole. */
  async #step(room: Room, row: PartialRoom, signal: AbortSignal): Promise<boolean> {
    const { db, tools } = this.#parts;
    const step = db.read((snapshot) => nextStep(tools, snapshot, room, row));
    if (step.kind === 'end') {
      const ahead = db.read((snapshot) => prepareEnd(tools, snapshot, room));
      if (ahead !== undefined) await runSliced(ahead, new Slice());
      return this.#write(room, signal, (tx) => endResync(tools, tx, room, row));
    }
    const told = new Map<EventId, ReadState>();
    for (const prev of step.ask) told.set(prev, await this.#read(room, await this.#ask(room, row, prev, signal)));
    return this.#write(room, signal, (tx) => {
      judgeWhole(tools, tx, room, { event: step.event, join: row.joinEvent }, told);
      return false;
    });
  }

  async #read(room: Room, ids: readonly EventId[]): Promise<ReadState> {
    const { db, tools } = this.#parts;
    const read = await readToldState(db, tools, room, ids);
    if (typeof read === 'string') throw new Error(read);
    return read;
  }

  /** Runs a unit; what it has to resolve is prepared outside of it, as often as it takes. */
  async #write(room: Room, signal: AbortSignal, work: (tx: Tx) => boolean): Promise<boolean> {
    const { db, tools } = this.#parts;
    for (;;) {
      signal.throwIfAborted();
      try {
        return await db.write((tx) => work(tx));
      } catch (error) {
        if (!(error instanceof ResolutionTooLarge)) throw error;
        await db.snapshot((snapshot) => tools.resolver.prepare(snapshot, room, error.sets));
      }
    }
  }

  /** Asks servers in turn, each attempt from another one on. @throws ResyncFailed when none of them can tell */
  async #ask(room: Room, row: PartialRoom, eventId: EventId, signal: AbortSignal): Promise<readonly EventId[]> {
    const servers = this.#parts.db.read((snapshot) => this.#candidates(snapshot, row));
    const reasons: string[] = [];
    for (let index = 0; index < Math.min(serversPerAttempt, servers.length); index += 1) {
      const server = servers[(row.attempts + index) % servers.length];
      if (server === undefined) break;
      try {
        return await this.#parts.fetchState(room, eventId, server, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        reasons.push(`${server}: ${messageOf(error)}`);
      }
    }
    throw new ResyncFailed(reasons.length === 0 ? 'no other server is known to be in the room' : reasons.join('; '));
  }

  /** Who may know: who let us in, then who was there, then who is there by what we know. Never this server itself. */
  #candidates(snapshot: Snapshot, row: PartialRoom): ServerName[] {
    const joined = [...this.#parts.tools.stores.members.servers.joined(snapshot, row.room).keys()];
    const all = new Set([row.joinedVia, ...this.#partial.servers(snapshot, row.room), ...joined]);
    all.delete(this.#parts.serverName);
    return [...all];
  }
}
