/**
 * What short passes at the same head have in common: one message wakes all who are parked in its room, and they read the
 * same events. A wave ends when the head moves on; within it a look-up is done once, and the text of an event is written
 * once for all viewers who may share it (INVARIANTS 17).
 */
import type { RoomReader, StoredEvent } from '../roomserver/index.ts';
import type { Position } from '../storage/index.ts';

export class Wave {
  /** The roomserver's reader, with what this wave has read already. */
  readonly reader: RoomReader;
  #head = 0;
  readonly #values = new Map<string, unknown>();

  constructor(rooms: RoomReader) {
    const placeKey = (place: unknown): string => (typeof place === 'number' ? String(place) : JSON.stringify(place));
    this.reader = {
      ...rooms,
      event: (snapshot, nid) => this.#once(`event ${nid}`, () => rooms.event(snapshot, nid)),
      snapshotAt: (snapshot, room, position) =>
        this.#once(`state ${room} ${position}`, () => rooms.snapshotAt(snapshot, room, position)),
      stateDifference: (snapshot, from, to) =>
        this.#once(`changes ${from} ${to}`, () => rooms.stateDifference(snapshot, from, to)),
      hasGaps: (snapshot, room) => this.#once(`gaps ${room}`, () => rooms.hasGaps(snapshot, room)),
      isBehindGap: (snapshot, event) => this.#once(`gap ${event.nid}`, () => rooms.isBehindGap(snapshot, event)),
      children: (snapshot, room, eventId) =>
        this.#once(`children ${room} ${eventId}`, () => rooms.children(snapshot, room, eventId)),
      timelineBackward: (snapshot, room, upTo, after, limit) =>
        this.#once(`timeline ${room} ${placeKey(upTo)} ${placeKey(after)} ${limit}`, () =>
          rooms.timelineBackward(snapshot, room, upTo, after, limit),
        ),
    };
  }

  /** To be called before a pass: forgets what was read at another head. */
  enter(head: Position): void {
    if (head === this.#head) return;
    this.#head = head;
    this.#values.clear();
  }

  /** Lets go of everything once nobody composes. */
  leave(): void {
    this.#head = 0;
    this.#values.clear();
  }

  /** The text of an event as all see it who had this membership at the event. */
  text(event: StoredEvent, membership: string | undefined, write: () => string): string {
    return this.#once(`text ${event.nid} ${membership}`, write);
  }

  #once<T>(id: string, read: () => T): T {
    // Only one kind of value is ever kept under an id: its first word says which.
    if (this.#values.has(id)) return this.#values.get(id) as T;
    const value = read();
    this.#values.set(id, value);
    return value;
  }
}
