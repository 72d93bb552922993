/**
 * How many requests of one other server are worked on at a time: the others wait in their order, a bounded number of them,
 * so that one server cannot take all that there is.
 */
import { matrixError } from '../matrix/errors.ts';

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/** Requests that wait, for each that may run. */
const waitingPerRunning = 10;
/** What a server is told to wait when its queue is full, in ms. */
const retryMs = 1000;

export class OriginGate {
  readonly #limit: number;
  readonly #lanes = new Map<string, Lane>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Servers with requests under way. */
  get size(): number {
    return this.#lanes.size;
  }

  /** Runs `task` when the origin has room; settles as it does. @throws MatrixError M_LIMIT_EXCEEDED when its queue is full */
  async run<T>(origin: string, task: () => Promise<T>): Promise<T> {
    let lane = this.#lanes.get(origin);
    if (lane === undefined) this.#lanes.set(origin, (lane = { running: 0, waiting: [] }));
    if (lane.running < this.#limit) {
      lane.running += 1;
    } else {
      const { waiting } = lane;
      if (waiting.length >= this.#limit * waitingPerRunning) throw matrixError.limitExceeded(retryMs);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    try {
      return await task();
    } finally {
      const next = lane.waiting.shift();
      // The place is handed on.
      if (next !== undefined) next();
      else if ((lane.running -= 1) === 0) this.#lanes.delete(origin);
    }
  }
}
