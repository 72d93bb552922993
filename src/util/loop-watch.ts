/** Watches how long the event loop is held: a p99 above the limit is logged with the work that held it longest. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Logger } from './log.ts';
import type { Measure } from './metrics.ts';

const windowMs = 10_000;
const limitMs = 100;
/** The monitor's own timer interval; it is part of what the monitor measures. */
const resolutionMs = 10;

interface Delay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class LoopWatch implements Disposable {
  readonly #log: Logger;
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>;
  readonly #timer: NodeJS.Timeout;
  #longest = { name: '', ms: 0 };
  #last = { p50: 0, p99: 0, max: 0 };

  constructor(log: Logger) {
    this.#log = log;
    this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs });
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#look(), windowMs);
    this.#timer.unref();
  }

  /** Notes that `name` (a route or a task) held the loop for `ms`. */
  busy(name: string, ms: number): void {
    if (ms > this.#longest.ms) this.#longest = { name, ms };
  }

  /** Delays in ms: the worse of the last whole window and the one that runs, so that a look at any time tells. */
  get delay(): Delay {
    const now = this.#now();
    const { p50, p99, max } = this.#last;
    return { p50: Math.max(p50, now.p50), p99: Math.max(p99, now.p99), max: Math.max(max, now.max) };
  }

  get measures(): readonly Measure[] {
    return [
      {
        name: 'neurite_loop_delay_seconds',
        help: 'Event loop delay in the last 10 to 20 seconds',
        kind: 'gauge',
        labels: ['quantile'],
        read: () => {
          const { p50, p99, max } = this.delay;
          return [
            { labels: { quantile: '0.5' }, value: p50 / 1000 },
            { labels: { quantile: '0.99' }, value: p99 / 1000 },
            { labels: { quantile: '1' }, value: max / 1000 },
          ];
        },
      },
    ];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #now(): Delay {
    const histogram = this.#histogram;
    const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs);
    return { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) };
  }

  #look(): void {
    this.#last = this.#now();
    if (this.#last.p99 > limitMs) {
      const { name, ms: held } = this.#longest;
      this.#log.warn({ p99: Math.round(this.#last.p99), by: name, held: Math.round(held) }, 'the event loop was held');
    }
    this.#histogram.reset();
    this.#longest = { name: '', ms: 0 };
  }
}
