/**
 * Keeps the WAL short without holding the event loop (DESIGN §4): passive passes by a thread, beside the writes; then
 * writes wait in their queue while the thread makes one last pass over the few frames left, so that the next commit
 * starts the WAL anew. Under constant load passive passes alone would never catch up with its end.
 *
 * The thread is started by the first checkpoint and ended when nothing was written for a while.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Logger } from '../util/log.ts';
import { programUrl } from '../util/package-files.ts';
import type { Pass, PassAnswer } from './checkpoint-worker.ts';

/** Units of work, and bytes that the file has grown by, after which a checkpoint is due. */
const dueUnits = 4000;
const dueBytes = 16 * 1024 * 1024;
/** Frames that may be left to the pass during which writes wait (4 KiB each). */
const fewFrames = 500;
const maxPasses = 8;
/** After a pass that could not end (an old snapshot is open, the disk is full): ms until the next attempt. */
const retryMs = 1000;
const idleMs = 60_000;

const workerUrl = programUrl('storage/checkpoint-worker');

export class Checkpointer {
  readonly #path: string;
  readonly #hold: () => () => void;
  readonly #log: Logger | undefined;
  #worker: Worker | undefined;
  #running: Promise<void> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #units = 0;
  /** Size of the file after the last checkpoint that emptied it. */
  #baseBytes = 0;
  #notBefore = 0;
  #completed = 0;
  #heldMs = 0;
  #closed = false;

  /** @param hold keeps writes in their queue until what it returns is called */
  constructor(path: string, hold: () => () => void, log: Logger | undefined) {
    this.#path = path;
    this.#hold = hold;
    this.#log = log;
  }

  /** Checkpoints that emptied the WAL. */
  get completed(): number {
    return this.#completed;
  }

  /** Time for which writes were held, in ms. */
  get heldMs(): number {
    return this.#heldMs;
  }

  /** Takes note of a commit that is on disk. */
  committed(units: number, walBytes: number): void {
    this.#units += units;
    const due = this.#units >= dueUnits || walBytes - this.#baseBytes >= dueBytes;
    if (!due || this.#running !== undefined || this.#closed || performance.now() < this.#notBefore) return;
    this.#running = this.#run(walBytes).finally(() => (this.#running = undefined));
  }

  /** Waits for the checkpoint under way and ends the thread. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#end();
  }

  async #run(walBytes: number): Promise<void> {
    clearTimeout(this.#idle);
    try {
      for (let count = 0; count < maxPasses; count += 1) {
        const { log, checkpointed } = await this.#pass();
        if (log - checkpointed <= fewFrames) break;
      }
      const started = performance.now();
      const release = this.#hold();
      const { log, checkpointed } = await this.#pass().finally(release);
      this.#heldMs += performance.now() - started;
      if (log !== checkpointed) return void (this.#notBefore = performance.now() + retryMs);
      this.#completed += 1;
      this.#units = 0;
      this.#baseBytes = walBytes;
    } catch (error) {
      this.#notBefore = performance.now() + retryMs;
      this.#log?.warn({ err: error }, 'a checkpoint failed; it will be tried again');
    } finally {
      this.#idle = setTimeout(() => void this.#end(), idleMs);
      this.#idle.unref();
    }
  }

  /** @throws Error what kept the thread from its work */
  #pass(): Promise<Pass> {
    const worker = (this.#worker ??= this.#start());
    // Only a pass keeps the process alive: an idle thread does not.
    worker.ref();
    return new Promise<Pass>((resolve, reject) => {
      const onExit = (): void => settle(() => reject(new Error('the checkpoint thread ended')));
      const onMessage = (answer: PassAnswer): void =>
        settle(() => ('error' in answer ? reject(new Error(answer.error)) : resolve(answer)));
      const settle = (outcome: () => void): void => {
        worker.off('exit', onExit).off('message', onMessage);
        worker.unref();
        outcome();
      };
      worker.on('exit', onExit).on('message', onMessage);
      worker.postMessage('pass');
    });
  }

  #start(): Worker {
    const worker = new Worker(workerUrl, {
      workerData: { path: this.#path },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
    });
    worker.unref();
    worker.on('error', (error) => this.#log?.warn({ err: error }, 'the checkpoint thread failed'));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    return worker;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    if (worker === undefined || this.#running !== undefined) return;
    this.#worker = undefined;
    const ended = once(worker, 'exit');
    worker.ref();
    worker.postMessage('end');
    await ended;
  }
}
