/**
 * The parent's side of the image process: one job at a time, the process started on the first one, ended when idle, and
 * killed when a job takes too long.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { KeyedQueue } from '../util/keyed-queue.ts';
import type { Logger } from '../util/log.ts';
import { programUrl } from '../util/package-files.ts';
import type { ImageJob, ImageResult } from './image-process.ts';

const program = fileURLToPath(programUrl('mediaapi/image-process'));
const jobLimitMs = 30_000;
const idleMs = 20_000;
/** Others come first on a small machine. */
const niceness = 10;

export interface ImagesOptions {
  readonly log: Logger;
  /** Default: 30 s. */
  readonly jobLimitMs?: number;
}

export class Images implements AsyncDisposable {
  readonly #options: ImagesOptions;
  readonly #queue = new KeyedQueue<'job'>();
  #child: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #jobs = 0;
  #stopped = false;

  constructor(options: ImagesOptions) {
    this.#options = options;
  }

  /** Looks at an image and makes thumbnails of it. A process that dies over it means `broken`. */
  run(job: Omit<ImageJob, 'id'>): Promise<ImageResult> {
    return this.#queue.run('job', () => this.#run(job));
  }

  /** The process's id, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Ends the process; jobs under way fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#child?.kill('SIGKILL');
    await this.#queue.drain();
    clearTimeout(this.#idle);
  }

  #run(job: Omit<ImageJob, 'id'>): Promise<ImageResult> {
    if (this.#stopped) return Promise.resolve({ ok: false, reason: 'broken' });
    clearTimeout(this.#idle);
    const child = (this.#child ??= this.#start());
    const id = (this.#jobs += 1);
    child.ref();
    return new Promise<ImageResult>((resolve) => {
      const settle = (result: ImageResult): void => {
        clearTimeout(timer);
        child.off('message', onMessage).off('exit', onExit);
        child.unref();
        this.#rest();
        resolve(result);
      };
      const onMessage = (message: unknown): void => {
        const answer = message as { readonly id: number; readonly result: ImageResult };
        if (answer.id === id) settle(answer.result);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        if (!this.#stopped) this.#options.log.warn({ code, signal }, 'the image process ended over an image');
        settle({ ok: false, reason: 'broken' });
      };
      const timer = setTimeout(() => child.kill('SIGKILL'), this.#options.jobLimitMs ?? jobLimitMs);
      child.on('message', onMessage).on('exit', onExit);
      child.send({ ...job, id });
    });
  }

  #start(): ChildProcess {
    const child = fork(program, [], { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.on('error', (error) => this.#options.log.error({ err: error }, 'the image process'));
    // An idle process keeps nobody alive.
    child.channel?.unref();
    if (child.pid !== undefined) setPriority(child.pid, niceness);
    return child;
  }

  #rest(): void {
    if (this.#stopped || this.#queue.size > 1) return;
    this.#idle = setTimeout(() => this.#child?.kill(), idleMs).unref();
  }
}
