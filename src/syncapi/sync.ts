/**
 * The /sync engine (DESIGN §6): longpoll, linear or polylog, chosen from the distance between `since` and now. A pass
 * that finds nothing parks from the Position that it has read to, holding no database handle, until an entry concerns
 * the user or the time is up. `next_batch` is the head of the snapshot that was read (INVARIANTS 1).
 */
import type { Bus } from '../bus/index.ts';
import { JsonText } from '../http/index.ts';
import type { Database, Position, Snapshot } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { runNow, runSliced, Slice } from '../util/slice.ts';
import { compose, type Composed, find, walk } from './compose.ts';
import type { Notifier, Waiter } from './notifier.ts';
import { Pacer } from './pacer.ts';
import { Pass, type PassParts } from './pass.ts';
import type { SyncRequest } from './request.ts';
import { formatSyncToken, startOfTime } from './token.ts';
import { Wave } from './wave.ts';

export interface SyncEngineOptions extends PassParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly notifier: Notifier;
  readonly clock: Clock;
  readonly log: Logger;
  /** More entries than this that concern the user are not walked but looked up. */
  readonly linearMaxEntries: number;
}

/** A response with the token that it ends at. */
export interface SyncAnswer {
  readonly body: JsonText;
  readonly nextBatch: Position;
}

interface Outcome extends Composed {
  readonly head: Position;
}

/** The longest wait, ms: a client that asks for more asks again. */
const maxTimeout = 600_000;
/** A response of at most so many entries is composed within one turn. */
const shortEntries = 128;

export class SyncEngine {
  readonly #options: SyncEngineOptions;
  readonly #pacer: Pacer;
  readonly #wave: Wave;
  /** What happened before this process started is not in the tail: ephemeral entries are gone with their process. */
  readonly #tailFrom: Position;

  constructor(options: SyncEngineOptions) {
    this.#options = options;
    this.#wave = new Wave(options.rooms);
    this.#pacer = new Pacer(() => this.#wave.leave());
    this.#tailFrom = options.db.head;
  }

  /** Passes that wait for their turn, by length. */
  get waiting(): Record<'short' | 'long', number> {
    return this.#pacer.waiting;
  }

  async sync(request: SyncRequest): Promise<SyncAnswer> {
    const since = this.#checkedSince(request);
    this.#note(request, since);
    const { user, deviceId, fullState, timeout, presence } = request;
    const endPoll = this.#options.userData.polled(user, deviceId, presence);
    try {
      // "If full_state is true the timeout is ignored"; neither does an initial sync wait.
      if (since === 0 || fullState || timeout === 0) return answer(await this.#pass(request, since));
      return await this.#wait(request, since);
    } finally {
      endPoll();
    }
  }

  async #wait(request: SyncRequest, since: Position): Promise<SyncAnswer> {
    const { notifier, clock } = this.#options;
    using waiter = notifier.register(request.user, request.deviceId);
    const until = clock.now() + Math.min(request.timeout, maxTimeout);
    let cursor = since;
    for (;;) {
      waiter.arm();
      const outcome = await this.#pass(request, cursor);
      cursor = outcome.head;
      const left = until - clock.now();
      if (outcome.notable || left <= 0) return answer(outcome);
      await this.#park(request, waiter, left);
      // "Own token": nothing behind the cursor has been read.
      if (request.signal.aborted) return ownToken(cursor);
    }
  }

  /** The response of one range by one named way to find what is in it (tests hold the two against each other). */
  composeBy(way: 'linear' | 'polylog', request: SyncRequest): Promise<Composed> {
    return this.#options.db.snapshot(async (snapshot, head) => {
      const pass = this.#newPass(request, snapshot, request.since, head);
      if (way === 'polylog') runNow(find(pass));
      else if (walk(pass, this.#options.bus, Infinity) === undefined) throw new Error('the tail is too short');
      return runNow(compose(pass));
    });
  }

  /** A token beyond the head was given out by a database that is no more (one restored from a backup). */
  #checkedSince({ user, deviceId, since }: SyncRequest): Position {
    const { head } = this.#options.db;
    if (since <= head) return since;
    this.#options.log.warn({ user, deviceId, since, head }, 'sync token from the future, answered as an initial sync');
    return startOfTime;
  }

  /** What a request says beside asking: the device has what came up to `since`. */
  #note({ user, deviceId, received }: SyncRequest, since: Position): void {
    const { userData, lazyMembers, log } = this.#options;
    if (deviceId === undefined) return;
    lazyMembers.rewind(user, deviceId, since);
    // An initial sync says nothing of what arrived.
    if (since === 0 || received === 0) return;
    userData.acknowledgeToDevice(user, deviceId, received).catch((error: unknown) => {
      log.error({ err: error, user, deviceId }, 'messages to a device were not deleted');
    });
  }

  async #park(request: SyncRequest, waiter: Waiter, ms: number): Promise<void> {
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    if (request.signal.aborted) return;
    request.signal.addEventListener('abort', stop, { once: true });
    // The sleep ends when it is aborted, so nothing is left behind whichever comes first.
    void waiter.woken().then(stop);
    await this.#options.clock.sleep(ms, controller.signal);
    request.signal.removeEventListener('abort', stop);
  }

  async #pass(request: SyncRequest, since: Position): Promise<Outcome> {
    const short = since > 0 && !request.fullState;
    const passed = short ? await this.#pacer.short(() => this.#shortPass(request, since)) : undefined;
    const { pass, composed } = passed ?? (await this.#pacer.long(() => this.#longPass(request, since)));
    if (pass.beforeReply !== undefined) await pass.beforeReply();
    const { user, deviceId } = request;
    if (deviceId !== undefined) this.#options.lazyMembers.add(user, deviceId, pass.sentMembers, pass.head);
    return { ...composed, head: pass.head };
  }

  /** A linear pass within one turn; undefined when there is too much to tell for that. */
  #shortPass(request: SyncRequest, since: Position): { pass: Pass; composed: Composed } | undefined {
    if (since < this.#tailFrom) return undefined;
    return this.#options.db.read((snapshot) => {
      const { head } = this.#options.db;
      this.#wave.enter(head);
      const pass = this.#newPass(request, snapshot, since, head, this.#wave);
      const most = Math.min(this.#options.linearMaxEntries, shortEntries);
      if (walk(pass, this.#options.bus, most) === undefined) return undefined;
      // A room that the client does not know comes with all of its state.
      for (const room of pass.transitions.keys()) if (pass.isJoined(room)) return undefined;
      return { pass, composed: runNow(compose(pass)) };
    });
  }

  #longPass(request: SyncRequest, since: Position): Promise<{ pass: Pass; composed: Composed }> {
    const { db, bus, linearMaxEntries } = this.#options;
    return db.snapshot(async (snapshot, head) => {
      const slice = new Slice();
      let pass = this.#newPass(request, snapshot, since, head);
      const mayWalk = !pass.complete && since >= this.#tailFrom;
      if (!mayWalk || walk(pass, bus, linearMaxEntries) === undefined) {
        pass = this.#newPass(request, snapshot, since, head);
        await runSliced(find(pass), slice);
      }
      return { pass, composed: await runSliced(compose(pass), slice) };
    });
  }

  #newPass(request: SyncRequest, snapshot: Snapshot, since: Position, head: Position, wave?: Wave): Pass {
    return new Pass(this.#options, request, snapshot, { since, head, now: this.#options.clock.now() }, wave);
  }
}

const answer = ({ chunks, head }: Outcome): SyncAnswer => ({ body: new JsonText(chunks), nextBatch: head });

const ownToken = (cursor: Position): SyncAnswer => ({
  body: new JsonText([`{"next_batch":"${formatSyncToken(cursor)}"}`]),
  nextBatch: cursor,
});
