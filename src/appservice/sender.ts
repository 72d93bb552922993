/**
 * Sends one service its queue, in order (A-S API v1.19 §Pushing events). A transaction is written down before it is sent
 * and repeated unaltered, with growing pauses, until the service answers 200: also after a crash.
 */
import type { Database, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { ServiceSilent, type ServiceClient } from './client.ts';
import type { EphemeralData } from './ephemeral.ts';
import type { Registration } from './registration.ts';
import { deleteQueued, selectOutbox, selectQueued, upsertOutbox } from './storage.ts';
import { composeTransaction, maxRows, type TransactionParts } from './transactions.ts';

export interface SenderParts extends TransactionParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly client: ServiceClient;
  readonly ephemeral: EphemeralData;
}

interface Transaction {
  readonly id: number;
  readonly body: string;
}

/** ms */
const firstPause = 1000;
const longestPause = 300_000;
const answerTimeout = 60_000;

export class ServiceSender {
  readonly #service: Registration;
  readonly #parts: SenderParts;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #woken = true;
  #wake: (() => void) | undefined;
  #pause = new AbortController();

  constructor(service: Registration, parts: SenderParts) {
    this.#service = service;
    this.#parts = parts;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Something new waits. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** The service is there again: a pause after a failure ends. */
  retry(): void {
    this.#pause.abort();
  }

  /** Ends; what was not taken goes out after the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#pause.abort();
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    let taken = false;
    for (let faults = 0; !this.#stop.signal.aborted;) {
      this.#woken = false;
      try {
        const transaction = await this.#next(taken);
        taken = transaction !== undefined && (await this.#deliver(transaction));
        if (transaction === undefined) await this.#idle();
        faults = 0;
      } catch (error) {
        // The disk is full, or a fault of our own: the queue stays as it is.
        this.#parts.log.error({ appservice: this.#service.id, err: error }, 'an app service transaction was not made');
        await this.#rest(faults);
        faults += 1;
      }
    }
  }

  async #idle(): Promise<void> {
    if (this.#woken || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
  }

  /** The transaction under way, or else a new one of what waits. `taken`: the last one was. */
  async #next(taken: boolean): Promise<Transaction | undefined> {
    const { db, ephemeral } = this.#parts;
    const { id } = this.#service;
    const waits = db.read((snapshot) => {
      const unsent = (snapshot.get(selectOutbox, id)?.body ?? null) !== null;
      return unsent || snapshot.get(selectQueued, id, 1) !== undefined;
    });
    if (!waits && ephemeral.isEmpty(this.#service)) return undefined;
    return db.write((tx) => this.#compose(tx, taken));
  }

  #compose(tx: Tx, taken: boolean): Transaction | undefined {
    const { clock, ephemeral } = this.#parts;
    const service = this.#service;
    const last = tx.get(selectOutbox, service.id);
    if (!taken && last !== undefined && last.body !== null) return { id: last.txn_id, body: last.body };
    const rows = tx.all(selectQueued, service.id, maxRows);
    const fleeting = ephemeral.events(service);
    // Ids grow with time too, so that a new database does not give out those that the service has seen.
    const id = Math.max(clock.now(), (last?.txn_id ?? 0) + 1);
    if (rows.length === 0 && fleeting.length === 0) {
      tx.run(upsertOutbox, service.id, last?.txn_id ?? 0, null);
      tx.afterCommit(() => ephemeral.forget(service));
      return undefined;
    }
    const { body, taken: count } = composeTransaction(tx, this.#parts, service, rows, fleeting, clock.now());
    for (const { position, kind } of rows.slice(0, count)) tx.run(deleteQueued, service.id, position, kind);
    tx.run(upsertOutbox, service.id, id, body);
    tx.afterCommit(() => ephemeral.forget(service));
    return { id, body };
  }

  /** Sends until it is taken; false when the server stops. */
  async #deliver({ id, body }: Transaction): Promise<boolean> {
    const { log } = this.#parts;
    for (let attempt = 0; !this.#stop.signal.aborted; attempt += 1) {
      const fault = await this.#send(id, body);
      if (fault === undefined) {
        if (attempt > 0) log.info({ appservice: this.#service.id, transaction: id }, 'the app service answers again');
        return true;
      }
      if (this.#stop.signal.aborted) break;
      const level = attempt === 0 ? 'warn' : 'debug';
      log[level]({ appservice: this.#service.id, transaction: id, fault }, 'an app service did not take a transaction');
      await this.#rest(attempt);
    }
    return false;
  }

  /** What went wrong; undefined: nothing. */
  async #send(id: number, body: string): Promise<string | undefined> {
    const { signal } = this.#stop;
    const paths = { path: `/transactions/${id}`, legacyPath: `/transactions/${id}` };
    try {
      const wish = { method: 'PUT', ...paths, body, timeout: answerTimeout, signal } as const;
      const { status } = await this.#parts.client.ask(this.#service, wish);
      return status === 200 ? undefined : `status ${status}`;
    } catch (error) {
      if (error instanceof ServiceSilent) return error.message;
      throw error;
    }
  }

  async #rest(attempt: number): Promise<void> {
    this.#pause = new AbortController();
    const ms = Math.min(firstPause * 2 ** Math.min(attempt, 20), longestPause);
    await this.#parts.clock.sleep(ms, AbortSignal.any([this.#pause.signal, this.#stop.signal]));
  }
}
