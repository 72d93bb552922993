/**
 * The sender: at most one transaction under way to each destination, the same one until it is taken, then the next
 * (S-S API v1.19 §Transactions). What it has to send is on disk; in memory is who has to be sent something. A
 * destination has a row only while it lacks something; whoever has none has all up to a Position kept once for all.
 */
import type { FedClient } from '../../fedclient/index.ts';
import type { ServerName } from '../../matrix/ids.ts';
import { asPosition, type Position } from '../../storage/index.ts';
import type { Logger } from '../../util/log.ts';
import { restoreDestinations } from './boot.ts';
import { Destination } from './destination.ts';
import type { Fleeting } from './fleeting.ts';
import { TransactionMaker, type MakerParts } from './maker.ts';
import { gapAfterSending, gapBefore, gapMs, pauseAfter } from './pace.ts';
import { TurnQueue } from './queue.ts';
import { SettledRows } from './settled.ts';
import type { Outgoing } from './transaction.ts';

export interface SenderParts extends MakerParts {
  readonly fed: Pick<FedClient, 'api' | 'destinations' | 'permits'>;
  readonly log: Logger;
}

/** What was done since the start. */
export interface SenderCounters {
  transactions: number;
  pdus: number;
  edus: number;
  failures: number;
}

/** After a fault of our own (a full disk). */
const faultPauseMs = 5000;

export class Sender {
  readonly counters: SenderCounters = { transactions: 0, pdus: 0, edus: 0, failures: 0 };
  readonly #parts: SenderParts;
  readonly #destinations = new Map<ServerName, Destination>();
  readonly #queue: TurnQueue;
  readonly #rows: SettledRows;
  readonly #stop = new AbortController();
  /** Events up to this Position were shared out among the destinations. */
  #heard = asPosition(0);
  #started = false;
  readonly #maker: TransactionMaker;

  constructor(parts: SenderParts) {
    this.#parts = parts;
    const { clock, fed, db, log } = parts;
    this.#maker = new TransactionMaker(parts);
    this.#queue = new TurnQueue({
      clock,
      isFailing: ({ server }) => fed.destinations.failing(server) !== undefined,
      run: (destination) => this.#round(destination),
    });
    this.#rows = new SettledRows({ db, clock, log, destinations: this.#destinations, heard: () => this.#heard, gapMs });
    fed.destinations.onReachable((server) => {
      const destination = this.#destinations.get(server);
      if (destination?.state === 'pausing') this.#queue.now(destination);
    });
  }

  /** Servers that something waits for, those under way, and those that pause before the next attempt. */
  get sizes(): { readonly waiting: number; readonly running: number; readonly pausing: number } {
    return { waiting: this.#destinations.size, running: this.#queue.running, pausing: this.#queue.pausing };
  }

  get started(): boolean {
    return this.#started;
  }

  /** Takes up what the last process left, and begins to send. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { db, rooms } = this.#parts;
    const destination = (server: ServerName, cursor: Position): Destination | undefined =>
      this.#destination(server, cursor);
    this.#heard = restoreDestinations({ db, rooms, destination });
    for (const one of this.#destinations.values()) this.#queue.now(one);
  }

  /** An event at `position` goes to these servers. Events come in their order. */
  events(servers: readonly ServerName[], position: Position): void {
    if (position <= this.#heard) return;
    for (const server of servers) {
      const destination = this.#destination(server);
      if (destination === undefined || position <= destination.cursor) continue;
      destination.waits = true;
      this.#wake(destination);
    }
    this.#heard = position;
  }

  /** Something on disk besides events of shared rooms waits for these servers. */
  wake(servers: readonly ServerName[]): void {
    if (!this.#started) return;
    for (const server of servers) {
      const destination = this.#destination(server);
      if (destination === undefined) continue;
      destination.waits = true;
      this.#wake(destination);
    }
  }

  /** Tells these servers something that is kept nowhere. */
  tell(servers: readonly ServerName[], value: Fleeting): void {
    if (!this.#started) return;
    for (const server of servers) {
      const destination = this.#destination(server);
      if (destination === undefined) continue;
      destination.fleeting.put(value);
      this.#wake(destination);
    }
  }

  /**
   * Sends at once what waits for a server, even to one that is left alone; resolves when it has all of it, does not take it,
   * or `limitMs` have passed.
   */
  async delivered(server: ServerName, limitMs: number): Promise<void> {
    const { fed, clock } = this.#parts;
    const destination = this.#destinations.get(server);
    if (destination?.isWanted !== true) return;
    const waiting = new AbortController();
    const watch = (): void => {
      if (!destination.isWanted || destination.kept === 'body') waiting.abort();
    };
    destination.watchers.add(watch);
    fed.destinations.contacted(server);
    this.#queue.now(destination);
    await clock.sleep(limitMs, AbortSignal.any([waiting.signal, this.#stop.signal]));
    destination.watchers.delete(watch);
  }

  /** Writes down how far everybody is. */
  settle(): Promise<void> {
    return this.#rows.write();
  }

  /** Ends; what was not taken goes out after the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#queue.stop();
    await this.#rows.close();
  }

  /** The destination of a server that is not us, and that we may speak with; made when there is none. */
  #destination(server: ServerName, cursor: Position = this.#heard): Destination | undefined {
    const known = this.#destinations.get(server);
    if (known !== undefined) return known;
    const { serverName, fed } = this.#parts;
    if (server === serverName || !fed.permits(server)) return undefined;
    const destination = new Destination(server, cursor);
    this.#destinations.set(server, destination);
    return destination;
  }

  #wake(destination: Destination): void {
    if (destination.state !== 'idle') return;
    const now = this.#parts.clock.now();
    const at = Math.max(
      destination.sentAt + gapBefore(destination),
      this.#parts.fed.destinations.retryAt(destination.server),
    );
    if (at > now) this.#queue.at(destination, at);
    else this.#queue.now(destination);
  }

  /** One turn: sends the transaction under way or the next one, and says when the turn after it comes. */
  async #round(destination: Destination): Promise<void> {
    const { clock, log } = this.#parts;
    let pauseMs = gapMs;
    try {
      destination.outgoing ??= await this.#maker.next(destination);
      if (destination.outgoing !== undefined) pauseMs = await this.#send(destination, destination.outgoing);
    } catch (error) {
      log.error({ server: destination.server, err: error }, 'a transaction for a server was not made');
      pauseMs = faultPauseMs;
    }
    destination.state = 'idle';
    for (const watcher of destination.watchers) watcher();
    if (this.#stop.signal.aborted) return;
    if (destination.isWanted) this.#queue.at(destination, clock.now() + pauseMs);
    else this.#rows.idle();
  }

  /** Sends a transaction; returns the pause until the next turn in ms. */
  async #send(destination: Destination, outgoing: Outgoing): Promise<number> {
    const { fed, clock, log } = this.#parts;
    const { server } = destination;
    const { signal } = this.#stop;
    const answer = await fed.api.sendTransaction(server, outgoing.id, outgoing.body, { signal });
    // With status 200 the transaction was taken, whatever else the answer says.
    if (answer.ok || answer.error.kind === 'bad-reply') {
      if (answer.ok) this.#logRefused(server, answer.value);
      this.counters.transactions += 1;
      this.counters.pdus += outgoing.pdus;
      this.counters.edus += outgoing.edus;
      destination.outgoing = undefined;
      destination.kept = 'no';
      destination.refusal = undefined;
      return gapAfterSending(destination, clock.now());
    }
    if (signal.aborted) return gapMs;
    this.counters.failures += 1;
    log.debug({ server, transaction: outgoing.id, fault: answer.error.kind }, 'a server did not take a transaction');
    await this.#maker.keep(destination, outgoing);
    destination.fleeting.forgetTyping();
    return pauseAfter(destination, answer.error, fed.destinations.failing(server)?.retryAt, clock.now());
  }

  #logRefused(server: ServerName, verdicts: Readonly<Record<string, { readonly error: string | undefined }>>): void {
    const { log } = this.#parts;
    for (const [eventId, { error }] of Object.entries(verdicts)) {
      if (error !== undefined) log.debug({ server, eventId, error }, 'a server refused an event of ours');
    }
  }
}
