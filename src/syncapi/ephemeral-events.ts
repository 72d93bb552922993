/** Receipts, typing lists and presence as the events that the older reading endpoints return, as JSON text. */
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { PresenceContent, ReceiptValue } from './sources.ts';

interface ReceiptFields {
  ts: number;
  thread_id?: string;
}

/** An `m.receipt` event (C-S API v1.19 §Receipts). Of two receipts of a user on one event the unthreaded one is shown. */
export function receiptEvent(roomId: RoomId, receipts: readonly ReceiptValue[]): string {
  const content = new Map<string, Map<string, Map<string, ReceiptFields>>>();
  for (const { eventId, type, user, threadId, ts } of receipts) {
    const byType = content.get(eventId) ?? new Map<string, Map<string, ReceiptFields>>();
    content.set(eventId, byType);
    const byUser = byType.get(type) ?? new Map<string, ReceiptFields>();
    byType.set(type, byUser);
    const known = byUser.get(user);
    if (known !== undefined && known.thread_id === undefined) continue;
    byUser.set(user, threadId === null ? { ts } : { ts, thread_id: threadId });
  }
  const text = objectText(content, (byType) => objectText(byType, (byUser) => objectText(byUser, JSON.stringify)));
  return `{"type":"m.receipt","room_id":${JSON.stringify(roomId)},"content":${text}}`;
}

const objectText = <T>(members: ReadonlyMap<string, T>, write: (value: T) => string): string =>
  `{${[...members].map(([name, value]) => `${JSON.stringify(name)}:${write(value)}`).join(',')}}`;

/** An `m.typing` event. */
export const typingEvent = (roomId: RoomId, users: readonly UserId[]): string =>
  JSON.stringify({ type: 'm.typing', room_id: roomId, content: { user_ids: users } });

/** An `m.presence` event; the user stands in the content too, as the older endpoints have it. */
export const presenceEvent = (user: UserId, content: PresenceContent): string =>
  JSON.stringify({ type: 'm.presence', sender: user, content: { user_id: user, ...content } });

/** Account data as events, joined by commas. */
export const accountDataEvents = (
  data: readonly { readonly type: string; readonly content: string }[],
  roomId?: RoomId,
): string =>
  data
    .map(({ type, content }) => {
      const room = roomId === undefined ? '' : `,"room_id":${JSON.stringify(roomId)}`;
      return `{"type":${JSON.stringify(type)}${room},"content":${content}}`;
    })
    .join(',');
