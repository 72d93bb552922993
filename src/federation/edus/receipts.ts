/** `m.receipt` (S-S API v1.19 §Receipts): public receipts of the origin's users, threaded ones too. */
import * as v from 'valibot';
import type { ServerName, UserId } from '../../matrix/ids.ts';
import { maxIdBytes, parseEventId, type EventId } from '../../matrix/ids.ts';
import { fitsBytes } from '../../util/bytes.ts';
import { memberOf, type JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { Tx } from '../../storage/index.ts';
import { isJoined, openRoom, readContent, safeInteger, userOf } from './checks.ts';
import type { EduKind, EduParts } from './index.ts';

const maxRooms = 500;
const maxReceipts = 1000;
/** Of one commit, so that a long EDU holds up nobody. */
const perWrite = 50;
const content = v.record(v.string(), jsonObject);
const receiptSchema = v.object({
  event_ids: v.pipe(v.array(v.string()), v.minLength(1)),
  data: v.optional(v.object({ ts: v.optional(v.unknown()), thread_id: v.optional(v.nullable(v.string())) }), {}),
});

interface Told {
  readonly roomId: string;
  readonly user: UserId;
  readonly eventId: EventId;
  /** null: unthreaded. */
  readonly threadId: string | null;
  readonly ts: number | undefined;
}

export const receiptEdu =
  (parts: EduParts): EduKind =>
  async (origin, edu) => {
    const told = receiptsOf(origin, readContent(content, edu) ?? {});
    const writes: Promise<void>[] = [];
    for (let start = 0; start < told.length; start += perWrite) {
      const some = told.slice(start, start + perWrite);
      const write = parts.db.write((tx) => {
        for (const receipt of some) apply(tx, parts, origin, receipt);
      });
      writes.push(write);
    }
    await Promise.all(writes);
  };

function receiptsOf(origin: ServerName, rooms: Record<string, JsonObject>): Told[] {
  const told: Told[] = [];
  for (const [roomId, kinds] of Object.entries(rooms).slice(0, maxRooms)) {
    // Private ones never leave their server; whatever else there may be one day is not known here.
    const users = readContent(content, memberOf(kinds, 'm.read')) ?? {};
    for (const [name, each] of Object.entries(users)) {
      const user = userOf(origin, name);
      const receipt = readContent(receiptSchema, each);
      // Whatever its server calls an event: it may be one that has not come yet.
      const [eventId] = receipt?.event_ids ?? [];
      const threadId = receipt?.data.thread_id ?? null;
      if (user === undefined || receipt === undefined || eventId === undefined || !fitsBytes(eventId, maxIdBytes))
        continue;
      if (threadId !== null && threadId !== 'main' && parseEventId(threadId) === undefined) continue;
      const ts = readContent(safeInteger, receipt.data.ts);
      told.push({
        roomId,
        user,
        eventId: eventId as EventId,
        threadId,
        ts: ts === undefined || ts < 0 ? undefined : ts,
      });
    }
  }
  return told.slice(0, maxReceipts);
}

function apply(tx: Tx, { rooms, users: { receipts } }: EduParts, origin: ServerName, told: Told): void {
  const { roomId, user, eventId, threadId, ts } = told;
  const room = openRoom(tx, rooms, roomId, origin);
  if (room === undefined || !isJoined(tx, rooms, room, user, origin)) return;
  const receipt = { room, user, type: 'm.read' as const, threadId, eventId, showsUnknown: true };
  receipts.set(tx, ts === undefined ? receipt : { ...receipt, ts });
}
