/** Reports of content to the people who run this server (C-S API v1.19 §Reporting content). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import type { Accounts, NewReport, Reports } from '../../userapi/index.ts';
import { maybe } from './body.ts';

export interface ReportParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly accounts: Accounts;
  readonly reports: Reports;
}

const rooms = '/_matrix/client/v3/rooms/:roomId/report';
const maxBody = 16 * 1024;
/** "May be blank", but must be there. */
const reasoned = v.object({ reason: v.string() });

export const reportRoutes = (parts: ReportParts): Route[] => [roomRoute(parts), eventRoute(parts), userRoute(parts)];

async function add({ db, reports }: ReportParts, report: NewReport): Promise<Record<string, never>> {
  await db.write((tx) => reports.add(tx, report));
  return {};
}

const roomRoute = (parts: ReportParts): Route =>
  route({
    method: 'POST',
    path: rooms,
    auth: 'user',
    rate: 'write',
    maxBody,
    body: reasoned,
    handle: ({ requester, params: { roomId }, body: { reason } }) => {
      const room = parts.db.read((snapshot) => parts.rooms.room(snapshot, roomId));
      if (room === undefined) throw matrixError.notFound('The room was not found');
      return add(parts, { reporter: requester.userId, roomId, reason });
    },
  });

const eventRoute = (parts: ReportParts): Route =>
  route({
    method: 'POST',
    path: `${rooms}/:eventId`,
    auth: 'user',
    rate: 'none',
    maxBody,
    // The score went out of the specification with version 1.18; clients still send it.
    body: v.object({ reason: maybe(v.string()), score: maybe(v.pipe(v.number(), v.safeInteger())) }),
    handle: ({ requester: { userId }, params: { roomId, eventId }, body: { reason, score } }) => {
      const eventSender = parts.db.read((snapshot) => {
        const room = parts.rooms.room(snapshot, roomId);
        const event = parts.rooms.eventById(snapshot, eventId);
        // "The caller must be joined to the room to report it."
        const isSeen =
          room !== undefined &&
          event?.room === room.nid &&
          parts.rooms.membership(snapshot, room.nid, userId)?.membership === 'join' &&
          parts.rooms.mayView(snapshot, userId, event);
        return isSeen ? event.sender : undefined;
      });
      if (eventSender === undefined)
        throw matrixError.notFound('The event was not found or you are not joined to the room');
      return add(parts, { reporter: userId, roomId, eventId, eventSender, reason, score });
    },
  });

const userRoute = (parts: ReportParts): Route =>
  route({
    method: 'POST',
    path: '/_matrix/client/v3/users/:userId/report',
    auth: 'user',
    rate: 'write',
    maxBody,
    body: reasoned,
    handle: ({ requester, params, body: { reason } }) => {
      const target = parseUserId(params.userId);
      const isKnown = (): boolean =>
        target !== undefined &&
        (!parts.accounts.isLocal(target) ||
          parts.db.read((snapshot) => parts.accounts.get(snapshot, target)) !== undefined);
      if (!isKnown()) throw matrixError.notFound('The user was not found');
      return add(parts, { reporter: requester.userId, userId: params.userId, reason });
    },
  });
