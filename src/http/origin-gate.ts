/**
 * How many requests of one other server are worked on at a time: the others wait in their order, a bounded number of them,
 * so that one server cannot take all that there is.
 */
import { matrixError } from '../matrix/errors.ts';
import { Gate } from '../util/gate.ts';

/** Requests that wait, for each that may run. */
const waitingPerRunning = 10;
/** What a server is told to wait when its queue is full, in ms. */
const retryMs = 1000;

export class OriginGate {
  readonly #limit: number;
  readonly #gates = new Map<string, Gate>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Servers with requests under way. */
  get size(): number {
    return this.#gates.size;
  }

  /** Runs `task` when the origin has room; settles as it does. @throws MatrixError M_LIMIT_EXCEEDED when its queue is full */
  async run<T>(origin: string, task: () => Promise<T>): Promise<T> {
    let gate = this.#gates.get(origin);
    if (gate === undefined) this.#gates.set(origin, (gate = new Gate(this.#limit)));
    if (gate.waiting >= this.#limit * waitingPerRunning) throw matrixError.limitExceeded(retryMs);
    try {
      return await gate.run(task);
    } finally {
      if (gate.running === 0 && this.#gates.get(origin) === gate) this.#gates.delete(origin);
    }
  }
}
