/** What users have reported, for administrators: events, rooms, users. */
import * as v from 'valibot';
import { direction, route, wholeNumber, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import { parseJson, type JsonObject } from '../matrix/json.ts';
import { publishedRoom, type RoomReader } from '../roomserver/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Report, Reports } from '../userapi/index.ts';
import { nextFrom, pageQuery, v1 } from './common.ts';

export interface ReportRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly reports: Reports;
}

const listQuery = v.object({
  ...pageQuery,
  dir: v.optional(direction, 'b'),
  user_id: v.optional(v.string()),
  room_id: v.optional(v.string()),
  sender_user_id: v.optional(v.string()),
  event_sender_user_id: v.optional(v.string()),
  target_user_id: v.optional(v.string()),
});

export const reportRoutes = (parts: ReportRouteParts): Route[] => [
  listRoute(parts, 'event', 'event_reports'),
  listRoute(parts, 'room', 'room_reports'),
  listRoute(parts, 'user', 'user_reports'),
  ...eventReportRoutes(parts),
];

const listRoute = ({ db, rooms, reports }: ReportRouteParts, kind: 'event' | 'room' | 'user', name: string): Route =>
  route({
    method: 'GET',
    path: `${v1}/${name}`,
    auth: 'admin',
    rate: 'none',
    query: listQuery,
    handle: ({ query }) =>
      db.read((snapshot) => {
        const { from, limit } = query;
        const found = reports.list(snapshot, {
          ...{ kind, from, limit, oldestFirst: query.dir === 'f' },
          ...{ reporter: query.user_id, roomId: query.room_id, userId: query.target_user_id },
          eventSender: query.sender_user_id ?? query.event_sender_user_id,
        });
        const next = nextFrom(from, found.reports.length, found.total);
        const listed = found.reports.map((report) => describe(snapshot, rooms, report));
        return { [name]: listed, total: found.total, ...(next === undefined ? {} : { next_token: next }) };
      }),
  });

function describe(snapshot: Snapshot, rooms: RoomReader, report: Report): JsonObject {
  const { roomId, eventId, eventSender, userId } = report;
  const room = roomId === undefined ? undefined : rooms.room(snapshot, roomId);
  const shown = room === undefined ? undefined : publishedRoom(snapshot, rooms, room);
  return {
    id: report.id,
    received_ts: report.receivedAt,
    user_id: report.reporter,
    reason: report.reason ?? null,
    ...(roomId === undefined
      ? {}
      : { room_id: roomId, name: shown?.name ?? null, canonical_alias: shown?.canonical_alias ?? null }),
    ...(eventId === undefined ? {} : { event_id: eventId, sender: eventSender ?? null, score: report.score ?? null }),
    ...(userId === undefined ? {} : { target_user_id: userId }),
  };
}

function eventReportRoutes({ db, rooms, reports }: ReportRouteParts): Route[] {
  const path = `${v1}/event_reports/:reportId` as const;
  const params = v.object({ reportId: wholeNumber });
  const unknownReport = () => matrixError.notFound('There is no such report');
  return [
    route({
      method: 'GET',
      path,
      auth: 'admin',
      rate: 'none',
      params,
      handle: ({ params: { reportId } }) =>
        db.read((snapshot) => {
          const report = reports.get(snapshot, reportId);
          if (report?.eventId === undefined) throw unknownReport();
          const event = rooms.eventById(snapshot, report.eventId);
          const json = event === undefined ? null : (parseJson(rooms.pduText(snapshot, event.nid)) ?? null);
          return { ...describe(snapshot, rooms, report), event_json: json };
        }),
    }),
    route({
      method: 'DELETE',
      path,
      auth: 'admin',
      rate: 'none',
      params,
      handle: ({ params: { reportId } }) =>
        db.write((tx) => {
          if (!reports.delete(tx, reportId)) throw unknownReport();
          return {};
        }),
    }),
  ];
}
