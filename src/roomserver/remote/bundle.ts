/**
 * Many events of a room, as answers to /state and /send_join bring them: up to some hundred thousand texts in any order.
 * They are checked and stored as outliers a few dozen at a time, the next ones checked while the last ones are stored,
 * so that no more than these are in memory as objects. An event that cites one of the bundle waits for it as text.
 */
import type { EventId } from '../../matrix/ids.ts';
import { type RoomEvent, toRoomEvent } from '../../matrix/pdu.ts';
import { type StoredEventText, joinFromStorage, splitForStorage } from '../../matrix/stored-event.ts';
import type { Room } from '../types.ts';
import { type FetchParts, isStored } from './parts.ts';
import type { FailedPdu } from './pdus.ts';

/** Texts that are checked at a time: few enough to be gone when the young generation is collected again. */
const perCheck = 32;
/** Events that are stored at a time. */
const perStore = 64;
/** What comes first is all that a small room has, or one without its members, and somebody waits for it: larger parts. */
const atFirst = 512;
const perCheckAtFirst = 128;
/** Failures that are told. */
const mostFailures = 100;

interface Waiting {
  readonly eventId: EventId;
  readonly text: StoredEventText;
  /** Events that it cites and that are not stored. */
  lacks: number;
}

/** What the create event stands for that room version 12 cites by the room's id alone. */
const create = '' as EventId;

export class EventBundle {
  readonly #parts: Pick<FetchParts, 'db' | 'rooms' | 'pdus'>;
  readonly #room: Pick<Room, 'roomId' | 'rules'>;
  readonly #wants: (id: EventId) => boolean;
  /** Cited events that are stored, or stand in the queue. */
  readonly #stored = new Set<EventId>();
  readonly #waiting = new Map<EventId, Waiting>();
  readonly #citing = new Map<EventId, Waiting[]>();
  #queue: (RoomEvent | Waiting)[] = [];
  #storing: Promise<void> = Promise.resolve();
  #taken = 0;
  /** The first ones of those that failed checks 1 to 3. */
  readonly failed: FailedPdu[] = [];

  /** @param wants says of which events anything is wanted; the others are left out */
  constructor(
    parts: Pick<FetchParts, 'db' | 'rooms' | 'pdus'>,
    room: Pick<Room, 'roomId' | 'rules'>,
    wants: (id: EventId) => boolean = () => true,
  ) {
    this.#parts = parts;
    this.#room = room;
    this.#wants = wants;
    const hasCreate = parts.db.read((snapshot) => {
      const known = parts.rooms.room(snapshot, room.roomId);
      return known !== undefined && parts.rooms.stores.rooms.head(snapshot, known.nid).create_event > 0;
    });
    if (hasCreate) this.#stored.add(create);
  }

  /** Takes texts; `each` is shown those that passed checks 1 to 3. Less is waiting when what is cited comes first. */
  async add(texts: Iterable<string>, each: (event: RoomEvent) => void = () => undefined): Promise<void> {
    let part: string[] = [];
    for (const text of texts) {
      if (part.push(text) < (this.#taken < atFirst ? perCheckAtFirst : perCheck)) continue;
      await this.#check(part, each);
      part = [];
    }
    if (part.length > 0) await this.#check(part, each);
  }

  /** Stores the last ones; resolves with those events that lack some that they cite. */
  async end(): Promise<RoomEvent[]> {
    await this.#store(1);
    await this.#storing;
    return [...this.#waiting.values()].map((waiting) => this.#eventOf(waiting));
  }

  async #check(texts: readonly string[], each: (event: RoomEvent) => void): Promise<void> {
    this.#taken += texts.length;
    const { roomId, rules } = this.#room;
    const isKnown = (id: EventId): boolean => !this.#wants(id);
    const wish = { roomId, anyReferenceCount: true, isKnown };
    const { events, failed } = await this.#parts.pdus.check(texts, rules, wish);
    this.failed.push(...failed.slice(0, mostFailures - this.failed.length));
    this.#place(events);
    for (const event of events) each(event);
    await this.#store(perStore);
  }

  /** Whether an event of the bundle, or one that it cites, is stored. To be asked at the end. */
  isStored(id: EventId): boolean {
    return this.#stored.has(id);
  }

  #place(events: readonly RoomEvent[]): void {
    const { db, rooms } = this.#parts;
    const cited = new Set(events.flatMap(({ authEvents }) => authEvents).filter((id) => !this.#stored.has(id)));
    db.read((snapshot) => {
      for (const id of cited) if (isStored(rooms.stores, snapshot, id)) this.#stored.add(id);
    });
    for (const event of events) {
      if (this.#stored.has(event.eventId) || this.#waiting.has(event.eventId)) continue;
      const isCreate = event.type === 'm.room.create' && event.stateKey === '';
      const lacking = [...new Set([...event.authEvents, ...(isCreate ? [] : [create])])].filter(
        (id) => !this.#stored.has(id),
      );
      if (lacking.length === 0) this.#enqueue(event, isCreate);
      else this.#wait(event, lacking);
    }
  }

  #wait(event: RoomEvent, lacking: readonly EventId[]): void {
    const { eventId } = event;
    const waiting = { eventId, text: splitForStorage(event, this.#room.rules), lacks: lacking.length };
    this.#waiting.set(eventId, waiting);
    for (const id of lacking) {
      const others = this.#citing.get(id);
      if (others === undefined) this.#citing.set(id, [waiting]);
      else others.push(waiting);
    }
  }

  /** What stands in the queue counts as stored for what is queued behind it. */
  #enqueue(first: RoomEvent, isCreate: boolean): void {
    this.#queue.push(first);
    const came = isCreate ? [first.eventId, create] : [first.eventId];
    for (let id = came.pop(); id !== undefined; id = came.pop()) {
      this.#stored.add(id);
      for (const waiting of this.#citing.get(id) ?? []) {
        waiting.lacks -= 1;
        if (waiting.lacks > 0) continue;
        this.#waiting.delete(waiting.eventId);
        this.#queue.push(waiting);
        came.push(waiting.eventId);
      }
      this.#citing.delete(id);
    }
  }

  /** Stores while at least so many stand in the queue; the last part is under way when this resolves. */
  async #store(least: number): Promise<void> {
    while (this.#queue.length >= least) {
      await this.#storing;
      const part = this.#queue.slice(0, perStore).map((one) => ('text' in one ? this.#eventOf(one) : one));
      this.#queue = this.#queue.slice(perStore);
      this.#storing = this.#input(part);
      // Its failure is that of whoever waits for it next.
      this.#storing.catch(() => undefined);
    }
  }

  async #input(events: readonly RoomEvent[]): Promise<void> {
    const verdicts = await this.#parts.rooms.input(this.#room.roomId, events, 'outlier');
    for (const [id, { kind }] of verdicts) if (kind === 'dropped') this.#stored.delete(id);
  }

  #eventOf({ eventId, text }: Waiting): RoomEvent {
    const { rules } = this.#room;
    return toRoomEvent(joinFromStorage(text.client, text.rest, rules), rules, eventId);
  }
}
