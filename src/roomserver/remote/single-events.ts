/** Single events by their ids (S-S API v1.19 §GET /event/{eventId}): a few at a time, one fetch for all who wait for it. */
import type { EventId, ServerName } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { Room } from '../types.ts';
import { type FetchParts, Shared } from './parts.ts';

/** Requests of one errand at a time. */
const parallel = 8;
const timeoutMs = 15_000;

export class SingleEvents {
  readonly #parts: Pick<FetchParts, 'api' | 'pdus'>;
  readonly #shared = new Shared<RoomEvent | undefined>();

  constructor(parts: Pick<FetchParts, 'api' | 'pdus'>) {
    this.#parts = parts;
  }

  /** Those of the events that a server gave and that passed checks 1 to 3, in no particular order. */
  async fetch(
    room: Room,
    ids: readonly EventId[],
    servers: readonly ServerName[],
    signal: AbortSignal,
  ): Promise<RoomEvent[]> {
    const waiting = [...ids];
    const found: RoomEvent[] = [];
    const work = async (): Promise<void> => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        if (signal.aborted) return;
        const event = await this.#one(room, id, servers);
        if (event !== undefined) found.push(event);
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, ids.length) }, work));
    return found;
  }

  /** Its time is its own, not its first waiter's. */
  #one(room: Room, eventId: EventId, servers: readonly ServerName[]): Promise<RoomEvent | undefined> {
    return this.#shared.run(`${room.nid} ${eventId}`, async () => {
      for (const server of servers) {
        const answer = await this.#parts.api.event(server, eventId, { timeoutMs });
        if (!answer.ok || answer.value === undefined) continue;
        const wish = { roomId: room.roomId, anyReferenceCount: true };
        const { events } = await this.#parts.pdus.check([answer.value], room.rules, wish);
        const event = events.find((candidate) => candidate.eventId === eventId);
        if (event !== undefined) return event;
      }
      return undefined;
    });
  }
}
