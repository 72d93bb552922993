/**
 * What is told once and lives in memory only: typing, presence, public receipts (S-S API v1.19 §Typing, §Presence,
 * §Receipts). Of each thing a destination is sent the last value.
 */
import type { EventId, RoomId, UserId } from '../../matrix/ids.ts';
import type { PresenceContent } from '../../userapi/index.ts';

export interface FleetingTyping {
  readonly kind: 'typing';
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly typing: boolean;
}

export interface FleetingPresence {
  readonly kind: 'presence';
  readonly user: UserId;
}

export interface FleetingReceipt {
  readonly kind: 'receipt';
  readonly roomId: RoomId;
  readonly user: UserId;
  /** null: unthreaded. */
  readonly threadId: string | null;
  readonly eventId: EventId;
  /** ms */
  readonly ts: number;
}

export type Fleeting = FleetingTyping | FleetingPresence | FleetingReceipt;

/** Values that wait for one destination at most; the oldest go. */
const mostValues = 500;
/** EDUs that one transaction takes. */
const mostTyping = 20;

export class FleetingValues {
  readonly #values = new Map<string, Fleeting>();

  get isEmpty(): boolean {
    return this.#values.size === 0;
  }

  put(value: Fleeting): void {
    const key = keyOf(value);
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size <= mostValues) return;
    const [oldest] = this.#values.keys();
    if (oldest !== undefined) this.#values.delete(oldest);
  }

  /** Who is typing is no news any more to a server that was not there to hear it. */
  forgetTyping(): void {
    for (const [key, { kind }] of this.#values) if (kind === 'typing') this.#values.delete(key);
  }

  /** Takes what waits as JSON texts of EDUs, at most `limit`. */
  take(presenceOf: (user: UserId) => PresenceContent | undefined, limit: number): string[] {
    const presence: object[] = [];
    const receipts: Receipts[] = [];
    const edus: string[] = [];
    // Two are kept for all presence and the first receipts.
    for (const [key, value] of this.#values) {
      if (value.kind === 'typing') {
        if (edus.length >= Math.min(mostTyping, limit - 2)) continue;
        edus.push(typingEdu(value));
      } else if (limit < 2) break;
      else if (value.kind === 'presence') {
        const content = presenceOf(value.user);
        if (content !== undefined) presence.push({ user_id: value.user, last_active_ago: 0, ...content });
      } else if (!addReceipt(receipts, value, limit - 1 - mostTyping)) continue;
      this.#values.delete(key);
    }
    if (presence.length > 0) edus.push(JSON.stringify({ content: { push: presence }, edu_type: 'm.presence' }));
    for (const content of receipts) edus.push(JSON.stringify({ content, edu_type: 'm.receipt' }));
    return edus;
  }
}

function keyOf(value: Fleeting): string {
  if (value.kind === 'presence') return `presence ${value.user}`;
  if (value.kind === 'typing') return `typing ${value.user} ${value.roomId}`;
  return `receipt ${value.user} ${value.roomId} ${value.threadId ?? ''}`;
}

const typingEdu = ({ roomId, user, typing }: FleetingTyping): string =>
  JSON.stringify({ content: { room_id: roomId, typing, user_id: user }, edu_type: 'm.typing' });

/** Content of an `m.receipt` EDU: room id → `m.read` → user id → receipt. */
type Receipts = Record<string, { 'm.read': Record<string, object> }>;

/** Puts a receipt into the first EDU that has none of this user in this room; false: there is no room. */
function addReceipt(
  edus: Receipts[],
  { roomId, user, threadId, eventId, ts }: FleetingReceipt,
  limit: number,
): boolean {
  const data = { ts, ...(threadId === null ? {} : { thread_id: threadId }) };
  const receipt = { data, event_ids: [eventId] };
  let edu = edus.find((content) => content[roomId]?.['m.read'][user] === undefined);
  if (edu === undefined) {
    if (edus.length >= Math.max(1, limit)) return false;
    edu = {};
    edus.push(edu);
  }
  const room = (edu[roomId] ??= { 'm.read': {} });
  room['m.read'][user] = receipt;
  return true;
}
