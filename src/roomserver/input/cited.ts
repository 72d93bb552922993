/**
 * What the events of one transaction cite, looked up once: rooms come in by thousands of events that cite the same few.
 * What is stored stays for the rest of the transaction; its verdict may change, then it is looked up again.
 */
import type { AuthEvent } from '../../matrix/auth-types.ts';
import type { CitedEvent } from '../../matrix/event-auth.ts';
import type { EventId } from '../../matrix/ids.ts';
import type { Tx } from '../../storage/index.ts';
import type { EventNid, Room } from '../types.ts';
import { citedEvent } from './checks.ts';
import type { PipelineTools } from './job.ts';

/** A cited event and its number. */
export interface Cited extends CitedEvent {
  readonly nid: EventNid;
}

export class CitedOnce {
  readonly #events = new Map<EventId, Cited>();
  #create: AuthEvent | undefined;
  #verdictChanges = -1;

  /** Undefined: not stored. */
  find(tx: Tx, { stores, resolver }: PipelineTools, room: Room, eventId: EventId): Cited | undefined {
    if (this.#verdictChanges !== resolver.verdictChanges) this.clear();
    this.#verdictChanges = resolver.verdictChanges;
    const known = this.#events.get(eventId);
    if (known !== undefined) return known;
    const nid = stores.events.nidOf(tx, eventId);
    if (nid === 0) return undefined;
    const cited = { nid, ...citedEvent(stores, tx, room, nid) };
    this.#events.set(eventId, cited);
    return cited;
  }

  /** What was looked up may have changed. */
  clear(): void {
    this.#events.clear();
    this.#create = undefined;
  }

  /** The create event for which the room's id stands, from version 12 on. */
  impliedCreate(tx: Tx, { stores }: PipelineTools, room: Room): AuthEvent | undefined {
    if (!room.rules.roomIdIsCreateHash || this.#create !== undefined) return this.#create;
    const create = stores.rooms.head(tx, room.nid).create_event;
    if (create > 0) this.#create = stores.events.forAuth(tx, create, room.rules);
    return this.#create;
  }
}
