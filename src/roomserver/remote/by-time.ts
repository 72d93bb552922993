/**
 * The event nearest to a time, asked of other servers where history is missing here (S-S API v1.19
 * `GET /timestamp_to_event`): what is nearer than our own is fetched, "so that it is available for a client to query".
 */
import type { UserId } from '../../matrix/ids.ts';
import { parseEventId } from '../../matrix/ids.ts';
import type { EventId, ServerName } from '../../matrix/ids.ts';
import { asPosition } from '../../storage/index.ts';
import type { Room } from '../types.ts';
import type { Backfill } from './backfill.ts';
import { type FetchParts, isInGraph, within } from './parts.ts';

export interface TimeWish {
  /** ms since the epoch. */
  readonly ts: number;
  readonly direction: 'b' | 'f';
  /** `origin_server_ts` of the nearest event that is here. */
  readonly own: number | undefined;
  readonly user: UserId;
}

/** Pages of history next to what is here that are fetched before an event is fetched apart from it. */
const mostPages = 2;
const pageSize = 100;
const errandMs = 20_000;
const endOfTime = asPosition(Number.MAX_SAFE_INTEGER);

export class EventsByTime {
  readonly #parts: FetchParts;
  readonly #backfill: Backfill;

  constructor(parts: FetchParts, backfill: Backfill) {
    this.#parts = parts;
    this.#backfill = backfill;
  }

  /** Fetches the event that another server finds nearer to the time than our own; true: look again. */
  async fetchNearer(room: Room, wish: TimeWish, signal?: AbortSignal): Promise<boolean> {
    // Without gaps nobody knows more.
    if (!this.#backfill.isWorthwhile(room, { limit: 1, user: wish.user })) return false;
    const bounded = within(errandMs, signal);
    for (const server of this.#parts.servers.inTurn(room)) {
      if (bounded.aborted) return false;
      const answer = await this.#parts.api.timestampToEvent(server, room.roomId, wish.ts, wish.direction, {
        signal: bounded,
      });
      const eventId = answer.ok ? parseEventId(answer.value.eventId) : undefined;
      if (!answer.ok || eventId === undefined) continue;
      if (!isNearer(answer.value.originServerTs, wish) || this.#isKnown(eventId)) return false;
      if (await this.#fetch(room, eventId, server, bounded)) return true;
    }
    return false;
  }

  /** First what is next to what we know, so that a client can page on without a gap. */
  async #fetch(room: Room, eventId: EventId, server: ServerName, signal: AbortSignal): Promise<boolean> {
    for (let page = 0; page < mostPages && !signal.aborted; page++) {
      const came = await this.#backfill.backfill(room, { before: endOfTime, limit: pageSize }, signal);
      if (this.#isKnown(eventId)) return true;
      if (!came) break;
    }
    await this.#backfill.fetchApart(room, eventId, server, signal);
    return this.#isKnown(eventId);
  }

  #isKnown(eventId: EventId): boolean {
    const { db, rooms } = this.#parts;
    return db.read((snapshot) => isInGraph(rooms.stores, snapshot, eventId));
  }
}

function isNearer(found: number, { ts, direction, own }: TimeWish): boolean {
  const distance = direction === 'b' ? ts - found : found - ts;
  return distance >= 0 && (own === undefined || distance < Math.abs(own - ts));
}
