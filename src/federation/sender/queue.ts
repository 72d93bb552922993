/**
 * Whose turn it is: destinations that are ready, first come first served, a bounded number at a time; those that fail
 * have places of their own, so that nobody who answers waits for who does not. Destinations that pause wait on one timer.
 */
import type { Clock } from '../../util/clock.ts';
import type { Destination } from './destination.ts';

export interface QueueParts {
  readonly clock: Clock;
  readonly isFailing: (destination: Destination) => boolean;
  /** One round for a destination; never rejects. */
  readonly run: (destination: Destination) => Promise<void>;
}

const mostHealthy = 64;
const mostFailing = 96;

interface Line {
  readonly waiting: Destination[];
  readonly limit: number;
  running: number;
}

export class TurnQueue {
  readonly #parts: QueueParts;
  readonly #healthy: Line = { waiting: [], limit: mostHealthy, running: 0 };
  readonly #failing: Line = { waiting: [], limit: mostFailing, running: 0 };
  readonly #pausing = new Map<Destination, number>();
  readonly #work = new Set<Promise<void>>();
  #timer: { readonly at: number; readonly stop: AbortController } | undefined;
  #stopped = false;

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  get running(): number {
    return this.#healthy.running + this.#failing.running;
  }

  get pausing(): number {
    return this.#pausing.size;
  }

  /** Gives the destination a turn as soon as there is a place. */
  now(destination: Destination): void {
    if (destination.state === 'ready' || destination.state === 'running' || this.#stopped) return;
    this.#pausing.delete(destination);
    destination.state = 'ready';
    const line = this.#parts.isFailing(destination) ? this.#failing : this.#healthy;
    line.waiting.push(destination);
    this.#fill(line);
  }

  /** Gives it a turn at a time (ms since the epoch). */
  at(destination: Destination, at: number): void {
    if (this.#stopped) return;
    destination.state = 'pausing';
    this.#pausing.set(destination, at);
    this.#arm(at);
  }

  /** Gives no more turns; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.stop.abort();
    await Promise.all(this.#work);
  }

  #fill(line: Line): void {
    while (line.running < line.limit && !this.#stopped) {
      const destination = line.waiting.shift();
      if (destination === undefined) return;
      line.running += 1;
      destination.state = 'running';
      const work = this.#parts.run(destination).finally(() => {
        this.#work.delete(work);
        line.running -= 1;
        this.#fill(line);
      });
      this.#work.add(work);
    }
  }

  /** One timer for all: at the first time that is due. */
  #arm(at: number): void {
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.stop.abort();
    const stop = new AbortController();
    this.#timer = { at, stop };
    const { clock } = this.#parts;
    void clock.sleep(Math.max(0, at - clock.now()), stop.signal).then(() => {
      if (!stop.signal.aborted) this.#due();
    });
  }

  #due(): void {
    this.#timer = undefined;
    const now = this.#parts.clock.now();
    let next = Infinity;
    for (const [destination, at] of this.#pausing) {
      if (at <= now) this.now(destination);
      else next = Math.min(next, at);
    }
    if (next < Infinity) this.#arm(next);
  }
}
