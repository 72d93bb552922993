/** Receipts and read markers (C-S API v1.19 §Receipts, §Read and unread markers). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseEventId, type EventId } from '../../matrix/ids.ts';
import { isRelatedTo, threadRootOf } from '../../matrix/relations.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { Presence, Receipts } from '../../userapi/index.ts';
import { joinedRoom } from './joined-room.ts';

export interface ReceiptRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly receipts: Receipts;
  readonly presence: Presence;
}

const room = '/_matrix/client/v3/rooms/:roomId';
const receiptTypes = ['m.read', 'm.read.private', 'm.fully_read'] as const;
const eventId = v.pipe(
  v.string(),
  v.check((id) => parseEventId(id) !== undefined, 'is no event id'),
  v.transform((id) => id as EventId),
);
const markers = v.object({
  'm.fully_read': v.optional(eventId),
  'm.read': v.optional(eventId),
  'm.read.private': v.optional(eventId),
});

export function receiptRoutes({ db, rooms, receipts, presence }: ReceiptRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: `${room}/receipt/:receiptType/:eventId`,
      auth: 'user',
      rate: 'write',
      params: v.object({ roomId: v.string(), receiptType: v.picklist(receiptTypes), eventId }),
      body: v.object({ thread_id: v.optional(v.unknown()) }),
      handle: async ({ requester: { userId, deviceId }, params, body }) => {
        const { receiptType: type } = params;
        const threadId = readThreadId(body.thread_id);
        if (threadId !== null && type === 'm.fully_read') {
          throw matrixError.invalidParam('thread_id does not go with m.fully_read');
        }
        await db.write((tx) => {
          const where = joinedRoom(tx, rooms, params.roomId, userId);
          if (threadId !== null) checkThread(tx, rooms, params.eventId, threadId);
          if (type === 'm.fully_read') receipts.setFullyRead(tx, where, userId, params.eventId);
          else receipts.set(tx, { room: where, user: userId, type, threadId, eventId: params.eventId });
        });
        presence.active(userId, deviceId);
        return {};
      },
    }),
    route({
      method: 'POST',
      path: `${room}/read_markers`,
      auth: 'user',
      rate: 'write',
      body: markers,
      handle: async ({ requester: { userId, deviceId }, params, body }) => {
        await db.write((tx) => {
          const where = joinedRoom(tx, rooms, params.roomId, userId);
          const fullyRead = body['m.fully_read'];
          if (fullyRead !== undefined) receipts.setFullyRead(tx, where, userId, fullyRead);
          for (const type of ['m.read', 'm.read.private'] as const) {
            const upTo = body[type];
            if (upTo === undefined) continue;
            receipts.set(tx, { room: where, user: userId, type, threadId: null, eventId: upTo });
          }
        });
        presence.active(userId, deviceId);
        return {};
      },
    }),
  ];
}

/** @throws M_INVALID_PARAM unless it is absent or a non-empty string */
function readThreadId(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string' || value === '') {
    throw matrixError.invalidParam('thread_id field must be a non-empty string');
  }
  return value;
}

/**
 * A threaded receipt names an event of that thread, or one that relates to its root in other ways: it is shown below the
 * thread, though it counts for the main timeline. The root itself goes with both. @throws M_INVALID_PARAM
 */
function checkThread(snapshot: Snapshot, rooms: RoomReader, upTo: EventId, threadId: string): void {
  const contentOf = (id: EventId) => {
    const stored = rooms.eventById(snapshot, id);
    return stored === undefined ? undefined : rooms.roomEvent(snapshot, stored.nid).content;
  };
  const content = contentOf(upTo);
  if (content === undefined || upTo === threadId) return;
  const root = threadRootOf(content, contentOf);
  const isRelated = threadId === (root ?? 'main') || (root === undefined && isRelatedTo(content, threadId, contentOf));
  if (!isRelated) {
    throw matrixError.invalidParam(`The event is not related to the thread_id`);
  }
}
