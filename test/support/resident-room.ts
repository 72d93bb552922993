/** A room of a scripted server, and how that speaks of it to those who join without members (MSC3902). */
import type { ServerResponse } from 'node:http';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import { eventTemplate } from '../../src/matrix/event-builder.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { SignedRoom } from './room-builder.ts';

export interface StateWish {
  /** Who is asked. */
  readonly server: ServerName;
  /** `state_ids` or `state`. */
  readonly endpoint: string;
  readonly eventId: string;
  readonly response: ServerResponse;
}

/** A room of the resident, and how it speaks of it to those who join. */
export class ResidentRoom {
  readonly room: SignedRoom;
  /** Events whose state was asked for, in order. */
  readonly asked: string[] = [];
  /** `servers_in_room` of the next joins; default: the truth. */
  servers: readonly string[] | undefined;
  /** Whether members are left out when that is wished, but for these. */
  omits = true;
  heroes: readonly string[] = [];
  /** What is said about the state before an event; undefined: the truth; `hang`: it has answered itself, or never will. */
  tell: (wish: StateWish) => unknown = () => undefined;
  #held: Promise<void>;
  #release = (): void => undefined;
  #noteAsked = (): void => undefined;
  readonly #wasAsked: Promise<void>;

  constructor(room: SignedRoom) {
    this.room = room;
    this.#held = new Promise((resolve) => (this.#release = resolve));
    this.#wasAsked = new Promise((resolve) => (this.#noteAsked = resolve));
  }

  get id(): string {
    return this.room.roomId;
  }

  get path(): string {
    return `/_matrix/client/v3/rooms/${encodeURIComponent(this.id)}`;
  }

  /** Answers about the state go out from now on. */
  release(): void {
    this.#release();
  }

  /** They are held back again. */
  hold(): void {
    this.#held = new Promise((resolve) => (this.#release = resolve));
  }

  /** Resolves when somebody has asked for a state. */
  stateAsked(): Promise<void> {
    return this.#wasAsked;
  }

  /** Resolves when an answer about the state may go out. */
  async beforeState(eventId: string): Promise<void> {
    this.asked.push(eventId);
    this.#noteAsked();
    await this.#held;
  }

  get creator(): string {
    return this.room.creator;
  }

  /** The current event of a key. */
  current(type: string, key = ''): RoomEvent {
    const event = this.room.event(this.room.currentState().get(type)?.get(key) ?? 0);
    if (event === undefined) throw new Error(`the room has no ${type} ${key}`);
    return event;
  }

  /** Member event of one of the room's users, made by himself unless `sender` is given. */
  member(user: string, membership: string, sender = user): RoomEvent {
    return this.room.say({ type: 'm.room.member', stateKey: user, sender, content: { membership } });
  }
}

export function eventOf(room: SignedRoom, id: string): RoomEvent {
  const event = room.event(room.nid(id));
  if (event === undefined) throw new Error(`the room has no event ${id}`);
  return event;
}

/** Events and all that they cite. */
export function withAuth(room: SignedRoom, ids: readonly EventId[]): EventId[] {
  const found = new Set<EventId>();
  const waiting = [...ids];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    waiting.push(...eventOf(room, id).authEvents);
  }
  return [...found];
}

/** An unsigned join on the forward extremities. */
export function joinTemplate(room: SignedRoom, user: string): JsonObject {
  const content = { membership: 'join' };
  const plan = room.build('$plan', { type: 'm.room.member', sender: user, stateKey: user, content });
  const cite = (eventId: EventId) =>
    room.rules.eventReferencesArePairs ? { eventId, pdu: eventOf(room, eventId).pdu } : eventId;
  return eventTemplate({
    rules: room.rules,
    proto: { type: 'm.room.member', sender: user, state_key: user, content, room_id: room.roomId },
    ...{ prevEvents: plan.prevEvents.map(cite), authEvents: plan.authEvents.map(cite) },
    ...{ depth: plan.depth, originServerTs: 0 },
  });
}
