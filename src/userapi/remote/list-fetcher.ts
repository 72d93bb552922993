/**
 * Fetches remote users' device lists by `/user/devices` (S-S API v1.19 §Device Management): one request per user at a
 * time, whoever wants the same list waits for it; failures are tried again with growing pauses. What is to be fetched
 * stands in rows, so that a restart forgets nothing.
 */
import type { FedClient, FederationFault } from '../../fedclient/index.ts';
import { serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import { nextPause, type BackoffPolicy } from '../../util/backoff.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import { err, ok, type Result } from '../../util/result.ts';
import { checkedList, type RemoteList } from './key-checks.ts';
import { selectDue, selectList, selectNextDue, updateFailed, updateRetry } from './list-rows.ts';
import type { RemoteLists } from './lists.ts';

export interface ListFetcherParts {
  readonly db: Database;
  readonly lists: RemoteLists;
  readonly federation: Pick<FedClient, 'api' | 'destinations'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
}

export type FetchedList = Result<RemoteList, FederationFault>;

/** A fetch under way. */
interface Run {
  /** No room was shared for a moment: what the answer holds may be older than that. */
  void: boolean;
  /** The newest update that came meanwhile. */
  newest: number;
  readonly done: Promise<FetchedList>;
}

/** Failing lists of servers that answer otherwise: the user may be gone, or the server unable. */
const policy: BackoffPolicy = { firstMs: 5000, youngMaxMs: 300_000, youngMs: 3_600_000, maxMs: 3_600_000 };
/** Fetches under way because of rows; those that clients wait for come on top. */
const maxRunning = 8;
/** Lists that come together (a new room, a server that is back) are told to clients at once: each wakes all of them. */
const announceMs = 250;
const announced = 200;
/** How often an answer is taken that is older than what is known. */
const maxRepeats = 3;

export class ListFetcher {
  readonly #parts: ListFetcherParts;
  readonly #running = new Map<UserId, Run>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #working = false;
  #announcing: Promise<void> | undefined;
  #wake = new AbortController();

  constructor(parts: ListFetcherParts) {
    this.#parts = parts;
    parts.lists.watch({
      updated: (_tx, userId, streamId) => {
        const run = this.#running.get(userId);
        if (run !== undefined) run.newest = Math.max(run.newest, streamId);
      },
      dropped: (_tx, userId) => {
        const run = this.#running.get(userId);
        if (run !== undefined) run.void = true;
      },
    });
    parts.federation.destinations.onReachable((server) => void this.#reachable(server));
  }

  /** Fetches under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Takes up what the last process left. */
  start(): void {
    this.#announceSoon();
    this.wake();
  }

  /** Takes up what the rows want, whenever one was added. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#wake.abort();
    if (this.#working) return;
    this.#working = true;
    this.#loop = this.#work().catch((error: unknown) => {
      this.#working = false;
      this.#parts.log.warn({ err: error }, 'device lists of other servers are not fetched until the next change');
    });
  }

  /** The user's list from his server, stored if it is (still) to be followed. Never rejects for what others did. */
  fetch(userId: UserId): Promise<FetchedList> {
    const known = this.#running.get(userId);
    if (known !== undefined) return known.done;
    const { promise, resolve, reject } = Promise.withResolvers<FetchedList>();
    const run: Run = { void: false, newest: 0, done: promise };
    this.#running.set(userId, run);
    const end = (): void => {
      this.#running.delete(userId);
      this.wake();
    };
    this.#run(userId, run).finally(end).then(resolve, reject);
    return promise;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await Promise.allSettled([this.#loop, this.#announcing, ...[...this.#running.values()].map(({ done }) => done)]);
  }

  async #work(): Promise<void> {
    const { db, clock, log } = this.#parts;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      const now = clock.now();
      const free = Math.max(0, maxRunning - this.#running.size);
      const { due, next } = db.read((snapshot) => ({
        due: snapshot.all(selectDue, now, free + this.#running.size),
        next: snapshot.get(selectNextDue, now)?.at ?? undefined,
      }));
      const wanted = due.map((row) => row.user_id).filter((userId) => !this.#running.has(userId));
      for (const userId of wanted.slice(0, free)) {
        this.fetch(userId).catch((error: unknown) =>
          log.warn({ user: userId, err: error }, 'a device list was not stored'),
        );
      }
      if (this.#running.size === 0 && next === undefined) break;
      const signal = AbortSignal.any([this.#wake.signal, this.#stopping.signal]);
      await clock.sleep(next === undefined ? 3_600_000 : Math.max(1, next - now), signal);
    }
    this.#working = false;
  }

  async #run(userId: UserId, run: Run): Promise<FetchedList> {
    for (let repeats = 0; ; repeats += 1) {
      run.void = false;
      run.newest = 0;
      const fetched = await this.#ask(userId);
      if (!fetched.ok) {
        await this.#failed(userId, fetched.error);
        return fetched;
      }
      const list = fetched.value;
      const stored = await this.#parts.db.write((tx) => {
        const isOld = run.void || run.newest > list.streamId;
        if (isOld && repeats < maxRepeats) return false;
        this.#parts.lists.replace(tx, userId, list);
        return true;
      });
      if (!stored) continue;
      this.#announceSoon();
      return fetched;
    }
  }

  #announceSoon(): void {
    this.#announcing ??= this.#announce().catch((error: unknown) => {
      this.#announcing = undefined;
      if (!this.#stopping.signal.aborted) this.#parts.log.warn({ err: error }, 'clients hear of device lists later');
    });
  }

  async #announce(): Promise<void> {
    const { db, clock, lists } = this.#parts;
    await clock.sleep(announceMs, this.#stopping.signal);
    this.#announcing = undefined;
    let told = announced;
    while (told === announced && !this.#stopping.signal.aborted) {
      told = await db.write((tx) => lists.announce(tx, announced));
    }
  }

  async #ask(userId: UserId): Promise<FetchedList> {
    const { api } = this.#parts.federation;
    const answer = await api.devices(serverNameOf(userId), userId, { signal: this.#stopping.signal });
    if (!answer.ok) return answer;
    const list = checkedList(userId, answer.value);
    return list === undefined ? err({ kind: 'bad-reply', message: 'the device list is another’s' }) : ok(list);
  }

  async #failed(userId: UserId, fault: FederationFault): Promise<void> {
    if (fault.kind === 'aborted') return;
    const { db, clock, random = Math.random } = this.#parts;
    await db.write((tx) => {
      const row = tx.get(selectList, userId);
      if (row === undefined) return;
      const now = clock.now();
      const since = row.failing_since ?? now;
      const pause = nextPause(policy, row.pause_ms, now - since, random());
      const retryAt = fault.kind === 'backing-off' ? Math.max(fault.retryAtMs, now + 1) : now + pause;
      tx.run(updateFailed, retryAt, fault.kind === 'backing-off' ? row.pause_ms : pause, since, userId);
    });
  }

  /** The server answers again, or has contacted us: its lists are tried at once. */
  async #reachable(server: ServerName): Promise<void> {
    const { db, log } = this.#parts;
    try {
      if ((await db.write((tx) => tx.run(updateRetry, server).changes)) > 0) this.wake();
    } catch (error) {
      if (!this.#stopping.signal.aborted) log.debug({ server, err: error }, 'device lists wait for their next attempt');
    }
  }
}
