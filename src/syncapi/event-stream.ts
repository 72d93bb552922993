/**
 * The event streams from before /sync: `GET /events?room_id=…` for who looks into a room without being in it (C-S API
 * v1.19 §Room Previews) and the deprecated `GET /events` over all of a user's rooms. Each call gives what came behind a
 * token, or waits for it; the token is a sync token.
 */
import type { Bus, Entry, Logged } from '../bus/index.ts';
import { type Position, asPosition } from '../storage/index.ts';
import { type Batch, type BatchParts, collectBatch } from './event-batch.ts';
import type { Asker } from './room-read.ts';
import { parseSyncToken } from './token.ts';

export interface EventStreamParts extends BatchParts {
  readonly bus: Bus;
}

export interface EventStreamRequest {
  readonly from: string | undefined;
  /** ms */
  readonly timeout: number;
  readonly limit: number | undefined;
  /** undefined: all rooms in which the user is joined. */
  readonly roomId: string | undefined;
  readonly signal: AbortSignal;
}

const limits = { default: 100, max: 1000 };

export class EventStream {
  readonly #parts: EventStreamParts;
  readonly #waiting = new Set<() => void>();

  constructor(parts: EventStreamParts) {
    this.#parts = parts;
    parts.bus.addListener((batch) => this.#wake(batch));
  }

  /**
   * JSON text of the response. Who reads all of his rooms is there, as by /sync.
   *
   * @throws M_FORBIDDEN (a room that is not open to the user), M_INVALID_PARAM
   */
  async read(asker: Asker, request: EventStreamRequest): Promise<string> {
    if (request.roomId !== undefined) return this.#read(asker, request);
    const endPoll = this.#parts.userData.polled(asker.userId, asker.deviceId, 'online');
    try {
      return await this.#read(asker, request);
    } finally {
      endPoll();
    }
  }

  async #read(asker: Asker, request: EventStreamRequest): Promise<string> {
    const { db, clock } = this.#parts;
    let from = request.from === undefined || request.from === '' ? undefined : parseSyncToken(request.from);
    const start = from ?? db.head;
    const over = clock.now() + request.timeout;
    for (;;) {
      const woken = this.#waiter();
      try {
        const { texts, end } = await this.#collect(asker, request, from);
        const left = over - clock.now();
        if (texts.length > 0 || left <= 0 || request.signal.aborted) {
          return `{"start":"${start}","end":"${end}","chunk":[${texts.join(',')}]}`;
        }
        from = end;
        await this.#wait(woken.promise, left, request.signal);
      } finally {
        woken.cancel();
      }
    }
  }

  #collect(asker: Asker, request: EventStreamRequest, from: Position | undefined): Promise<Batch> {
    return this.#parts.db.snapshot(async (snapshot, head) => {
      asker.shown.key(`user:${asker.userId}`);
      const since = asPosition(Math.min(from ?? head, head));
      const limit = Math.min(Math.max(request.limit ?? limits.default, 1), limits.max);
      return collectBatch(this.#parts, asker, { snapshot, since, head, limit, roomId: request.roomId });
    });
  }

  #waiter(): { readonly promise: Promise<void>; readonly cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    return { promise, cancel: () => this.#waiting.delete(resolve) };
  }

  async #wait(woken: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    await Promise.race([woken, this.#parts.clock.sleep(ms, AbortSignal.any([signal, stop.signal]))]);
    stop.abort();
  }

  #wake(batch: readonly Logged[]): void {
    if (!batch.some(({ entry }) => isStreamed(entry))) return;
    for (const resolve of this.#waiting) resolve();
  }
}

/** Whether a stream may have something to tell of an entry. */
function isStreamed({ topic }: Entry): boolean {
  switch (topic) {
    case 'room.event':
    case 'room.membership':
    case 'room.receipt':
    case 'room.typing':
    case 'user.account_data':
    case 'user.presence':
      return true;
    case 'room.state':
    case 'room.unpartial':
    case 'event.withdrawn':
    case 'room.backfilled':
    case 'event.redacted':
    case 'room.purged':
    case 'user.counts':
    case 'user.device_list':
    case 'user.profile':
    case 'device.to_device':
    case 'device.key_counts':
      return false;
  }
}
