/**
 * Background work: named tasks that start staggered, so that a boot is not one burst, and repeat until they are stopped.
 * A task resumes from its own rows; one that fails is logged and tried again later.
 */
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';

export interface Task {
  readonly name: string;
  /** Pause between two runs in ms; without it the task runs once. */
  readonly everyMs?: number;
  /** Ends soon after the signal aborts. */
  run(signal: AbortSignal): Promise<void> | void;
}

export interface TaskRunnerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Is told for how long a task held the event loop before its first pause, in ms. */
  readonly onBusy?: (name: string, ms: number) => void;
}

/** Between the first runs of two tasks. */
const staggerMs = 500;
const firstRetryMs = 5000;
const longestRetryMs = 600_000;

export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #started = 0;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  /** Tasks that have not ended. */
  get size(): number {
    return this.#running.size;
  }

  /** Starts a task after those that were added before. */
  add(task: Task): void {
    this.#started += 1;
    const work: Promise<void> = this.#repeat(task, this.#started * staggerMs).finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** Ends all tasks and waits for them. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async #repeat(task: Task, firstDelayMs: number): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    let retryMs = firstRetryMs;
    let delayMs: number | undefined = firstDelayMs;
    while (delayMs !== undefined) {
      await clock.sleep(delayMs, signal);
      if (signal.aborted) return;
      if (await this.#run(task, signal)) {
        retryMs = firstRetryMs;
        delayMs = task.everyMs;
      } else {
        delayMs = retryMs;
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  async #run(task: Task, signal: AbortSignal): Promise<boolean> {
    const { log, onBusy } = this.#options;
    try {
      const started = performance.now();
      const work = task.run(signal);
      onBusy?.(`task ${task.name}`, performance.now() - started);
      await work;
      return true;
    } catch (error) {
      if (!signal.aborted)
        log.warn({ task: task.name, err: error }, 'a background task failed; it will be tried again');
      return false;
    }
  }
}
