/** Receipts, typing lists and presence as the events that the older reading endpoints return, as JSON text. */
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { PresenceContent, ReceiptValue } from './sources.ts';

/**
 * Contents of `m.receipt` events (C-S API v1.19 §Receipts), `{event id: {type: {user: {ts, thread_id}}}}`. There is one
 * event per thread: in a single one a user has one place on each event, whatever thread he read it in.
 */
export const receiptContents = (receipts: readonly ReceiptValue[]): string[] =>
  [...Map.groupBy(receipts, ({ threadId }) => threadId).values()].map(contentOfThread);

function contentOfThread(receipts: readonly ReceiptValue[]): string {
  const byEvent = new Map<string, Map<string, Map<string, ReceiptValue>>>();
  for (const receipt of receipts) {
    const byType = byEvent.get(receipt.eventId) ?? new Map<string, Map<string, ReceiptValue>>();
    byEvent.set(receipt.eventId, byType);
    const byUser = byType.get(receipt.type) ?? new Map<string, ReceiptValue>();
    byType.set(receipt.type, byUser);
    byUser.set(receipt.user, receipt);
  }
  const fieldsText = ({ ts, threadId }: ReceiptValue): string =>
    JSON.stringify(threadId === null ? { ts } : { ts, thread_id: threadId });
  return objectText(byEvent, (byType) => objectText(byType, (byUser) => objectText(byUser, fieldsText)));
}

/** The `m.receipt` events of a room. */
export const receiptEvents = (roomId: RoomId, receipts: readonly ReceiptValue[]): string[] =>
  receiptContents(receipts).map(
    (content) => `{"type":"m.receipt","room_id":${JSON.stringify(roomId)},"content":${content}}`,
  );

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
