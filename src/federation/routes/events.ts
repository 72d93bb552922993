/**
 * Events and history for other servers in the room (S-S API v1.19 §Retrieving events, §Backfilling and retrieving missing
 * events). PDUs are told as raw text, as they were signed.
 */
import * as v from 'valibot';
import { direction, JsonText, maybe, route, wholeNumber, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import {
  eventsBetween,
  eventsByTime,
  eventsUpTo,
  roomForServer,
  ServerView,
  type StoredEvent,
} from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import { type EventReadParts, inRoom, joined, settled, textsFor, transaction } from './reading.ts';

const v1 = '/_matrix/federation/v1';
/** "up to the given limit": we tell no more than this at a time. */
const most = { backfill: 100, missing: 100, versions: 100 };

const eventIds = v.array(v.string());
const oneOrMore = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((value) => (typeof value === 'string' ? [value] : value)),
);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const time = v.pipe(v.string(), v.regex(/^-?\d{1,16}$/, 'expected a time in milliseconds'), v.transform(Number));

export const eventReadRoutes = (parts: EventReadParts): Route[] => [
  eventRoute(parts),
  backfillRoute(parts),
  missingEventsRoute(parts),
  eventAtTimeRoute(parts),
];

const eventRoute = (parts: EventReadParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/event/:eventId`,
    auth: 'server',
    rate: 'federation',
    handle: async ({ origin, params: { eventId }, shown, signal }) => {
      const { db, rooms } = parts;
      const known = (snapshot: Snapshot): StoredEvent => {
        const event = rooms.eventById(snapshot, eventId);
        if (event === undefined || event.rejected) throw matrixError.notFound('The event is not known');
        return event;
      };
      const { roomId, nid } = db.read((snapshot) => rooms.roomByNid(snapshot, known(snapshot).room));
      await settled(parts, roomId, signal);
      return db.read((snapshot) => {
        const room = roomForServer(snapshot, rooms, roomId, origin);
        shown.key(`room:${nid}`);
        return transaction(parts, [new ServerView(snapshot, rooms, room, origin).pduText(known(snapshot))]);
      });
    },
  });

const backfillRoute = (parts: EventReadParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/backfill/:roomId`,
    auth: 'server',
    rate: 'federation',
    query: v.object({ v: oneOrMore, limit: wholeNumber }),
    handle: (asked) => {
      const { v: ids, limit } = asked.query;
      if (ids.length > most.versions) throw matrixError.invalidParam('v names too many events');
      return inRoom(parts, asked, async (snapshot, room) => {
        const events = await eventsUpTo(snapshot, parts.rooms, room, ids, Math.min(limit, most.backfill));
        const view = new ServerView(snapshot, parts.rooms, room, asked.origin);
        return transaction(parts, await textsFor(view, events));
      });
    },
  });

const missingEventsRoute = (parts: EventReadParts): Route =>
  route({
    method: 'POST',
    path: `${v1}/get_missing_events/:roomId`,
    auth: 'server',
    rate: 'federation',
    body: v.object({
      earliest_events: v.optional(eventIds, []),
      latest_events: v.optional(v.pipe(eventIds, v.maxLength(most.versions)), []),
      limit: maybe(count),
      min_depth: maybe(v.pipe(v.number(), v.safeInteger())),
    }),
    handle: (asked) => {
      const { earliest_events: earliest, latest_events: latest, limit = 10, min_depth: minDepth = 0 } = asked.body;
      return inRoom(parts, asked, async (snapshot, room) => {
        const wish = { earliest, latest, limit: Math.min(limit, most.missing), minDepth };
        const events = await eventsBetween(snapshot, parts.rooms, room, wish);
        const view = new ServerView(snapshot, parts.rooms, room, asked.origin);
        return new JsonText(['{"events":[', ...joined(await textsFor(view, events)), ']}']);
      });
    },
  });

const eventAtTimeRoute = (parts: EventReadParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/timestamp_to_event/:roomId`,
    auth: 'server',
    rate: 'federation',
    query: v.object({ ts: time, dir: direction }),
    handle: (asked) => {
      const { ts, dir } = asked.query;
      return inRoom(parts, asked, async (snapshot, room) => {
        const view = new ServerView(snapshot, parts.rooms, room, asked.origin);
        const slice = new Slice();
        for (let offset = 0; offset < mostLookedAt;) {
          const nids = eventsByTime(snapshot, room.nid, ts, dir, offset);
          if (nids.length === 0) break;
          for (const nid of nids) {
            const event = parts.rooms.event(snapshot, nid);
            if (event !== undefined && view.mayView(event)) {
              return { event_id: event.eventId, origin_server_ts: event.originServerTs };
            }
            await slice.tick();
          }
          offset += nids.length;
        }
        throw matrixError.notFound(
          `Unable to find event from ${ts} in ${dir === 'f' ? 'forward' : 'backward'} direction`,
        );
      });
    },
  });

/** Events that are passed over because the server may not see them. */
const mostLookedAt = 10_000;
