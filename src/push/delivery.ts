/**
 * Empties the pushers' queues: one lane a pusher, in order, the next only when the last was taken. What fails is tried
 * again after a pause that doubles. A row goes in the commit that follows the answer, so a crash in between repeats at
 * most the one notification (or mail) that each lane had under way; gateways know it again by its `event_id`.
 */
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { Gate } from '../util/gate.ts';
import type { Logger } from '../util/log.ts';
import type { Measure } from '../util/metrics.ts';
import { countQueue, selectBusyPushers, selectPusher, type PusherRow } from './pusher-storage.ts';

/** What one step of a lane came to. */
export type Step =
  /** Something was taken by the other side. */
  | { readonly kind: 'sent' }
  /** Rows went that need not be told any more. */
  | { readonly kind: 'skipped' }
  | { readonly kind: 'idle' }
  /** Nothing before this many ms have passed. */
  | { readonly kind: 'early'; readonly ms: number }
  /** `pauseMs`: the other side asked for this long a pause; 0: it did not. */
  | { readonly kind: 'failed'; readonly reason: string; readonly pauseMs: number };

/** Tells one kind of pusher's queue. */
export interface Teller {
  step(pusher: PusherRow, signal: AbortSignal): Promise<Step>;
}

export interface DeliveryOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tellers: Readonly<Record<PusherRow['kind'], Teller>>;
  /** ms */
  readonly retry: { readonly first: number; readonly longest: number };
  /** Closes connections when nothing is under way any more. */
  readonly close: () => Promise<void>;
}

/**
 * - `work`: there is a new row
 * - `read`: the user has read something, which may change what is early
 * - `set`: the pusher was set anew or is gone
 */
export type WakeReason = 'work' | 'read' | 'set';

interface Lane {
  /** Woken since its step began. */
  again: boolean;
  failures: number;
  /** Ends the pause that it is in. */
  pause: { readonly end: () => void; readonly early: boolean } | undefined;
  ended: Promise<void>;
}

/** Steps that may wait for the other side at a time. */
const parallelSteps = 128;
/** How long requests under way may take to end when the server stops, in ms. */
const graceMs = 3000;

export class Delivery implements AsyncDisposable {
  readonly #options: DeliveryOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #stopping = new AbortController();
  /** Ends requests under way. */
  readonly #ending = new AbortController();
  readonly #gate = new Gate(parallelSteps);
  readonly #counters = { sent: 0, failed: 0 };

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier process has left. */
  start(): void {
    const { db } = this.#options;
    for (const { pusher } of db.read((snapshot) => snapshot.all(selectBusyPushers))) this.wake(pusher, 'work');
  }

  /** Has a pusher's queue looked at. */
  wake(pusher: number, reason: WakeReason): void {
    if (this.#stopping.signal.aborted) return;
    const lane = this.#lanes.get(pusher);
    if (lane !== undefined) {
      lane.again = true;
      if (reason === 'set') lane.failures = 0;
      if (reason === 'set' || (reason === 'read' && lane.pause?.early === true)) lane.pause?.end();
      return;
    }
    const started: Lane = { again: false, failures: 0, pause: undefined, ended: Promise.resolve() };
    this.#lanes.set(pusher, started);
    started.ended = this.#run(pusher, started).finally(() => this.#lanes.delete(pusher));
  }

  get measures(): readonly Measure[] {
    const { db } = this.#options;
    return [
      {
        name: 'neurite_push_sent_total',
        help: 'Notifications that gateways, and mails that the mail server, have taken.',
        kind: 'counter',
        read: () => this.#counters.sent,
      },
      {
        name: 'neurite_push_failures_total',
        help: 'Attempts to deliver a notification that failed.',
        kind: 'counter',
        read: () => this.#counters.failed,
      },
      {
        name: 'neurite_push_waiting',
        help: 'Notifications that wait to be delivered.',
        kind: 'gauge',
        read: () => db.read((snapshot) => snapshot.get(countQueue)?.count ?? 0),
      },
    ];
  }

  /** Resolves when no lane has anything to do at once; for tests. */
  async settled(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all([...this.#lanes.values()].map(({ ended }) => ended));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    for (const { pause } of this.#lanes.values()) pause?.end();
    const grace = setTimeout(() => this.#ending.abort(), graceMs);
    await this.settled();
    clearTimeout(grace);
    await this.#options.close();
  }

  async #run(pusher: number, lane: Lane): Promise<void> {
    // The caller is inside an effect of a commit: what it woke begins after it.
    await Promise.resolve();
    while (!this.#stopping.signal.aborted) {
      lane.again = false;
      const step = await this.#step(pusher);
      if (step.kind === 'idle') {
        if (lane.again) continue;
        return;
      }
      if (step.kind === 'sent') {
        lane.failures = 0;
        this.#counters.sent += 1;
      } else if (step.kind === 'early') await this.#pause(lane, step.ms, true);
      else if (step.kind === 'failed') {
        this.#failed(pusher, lane, step.reason);
        await this.#pause(lane, Math.max(step.pauseMs, this.#pauseAfter(lane.failures)), false);
      }
    }
  }

  async #step(id: number): Promise<Step> {
    const { db, tellers } = this.#options;
    return this.#gate.run(async () => {
      if (this.#stopping.signal.aborted) return { kind: 'idle' };
      try {
        const pusher = db.read((snapshot) => snapshot.get(selectPusher, id));
        if (pusher === undefined) return { kind: 'idle' };
        return await tellers[pusher.kind].step(pusher, this.#ending.signal);
      } catch (error) {
        this.#options.log.warn({ pusher: id, err: error }, 'a pusher failed');
        return { kind: 'failed', reason: 'an error of this server', pauseMs: 0 };
      }
    });
  }

  #failed(pusher: number, lane: Lane, reason: string): void {
    lane.failures += 1;
    this.#counters.failed += 1;
    const { log } = this.#options;
    const about = { pusher, reason, failures: lane.failures };
    if (lane.failures === 1) log.info(about, 'a push was not taken; it will be tried again');
    else log.debug(about, 'a push was not taken');
  }

  #pauseAfter(failures: number): number {
    const { first, longest } = this.#options.retry;
    return Math.min(longest, first * 2 ** Math.min(failures - 1, 40));
  }

  async #pause(lane: Lane, ms: number, early: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const ended = new AbortController();
    lane.pause = { end: () => ended.abort(), early };
    await this.#options.clock.sleep(ms, ended.signal);
    lane.pause = undefined;
  }
}
