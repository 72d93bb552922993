/**
 * Events, states and auth chains for other servers in the room (S-S API v1.19 §Retrieving events, §Backfilling and
 * retrieving missing events, §Retrieving event authorisation information). PDUs are told as raw text, as they were signed.
 */
import * as v from 'valibot';
import { direction, JsonText, maybe, route, wholeNumber, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import {
  authChain,
  eventIdsOf,
  eventsBetween,
  eventsByTime,
  eventsUpTo,
  pduTexts,
  roomForServer,
  type RoomReader,
  ServerView,
  stateForServer,
  type StoredEvent,
} from '../../roomserver/index.ts';
import type { Database, Shown, Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { Slice } from '../../util/slice.ts';

export interface EventReadParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly serverName: ServerName;
  readonly clock: Clock;
}

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
  ...stateRoutes(parts),
  eventAuthRoute(parts),
  backfillRoute(parts),
  missingEventsRoute(parts),
  eventAtTimeRoute(parts),
];

/** A transaction without ids around PDUs. */
const transaction = ({ serverName, clock }: EventReadParts, texts: readonly string[]): JsonText =>
  new JsonText([
    `{"origin":${JSON.stringify(serverName)},"origin_server_ts":${clock.now()},"pdus":[`,
    ...joined(texts),
    ']}',
  ]);

const joined = (texts: readonly string[]): string[] => texts.map((text, index) => (index === 0 ? text : `,${text}`));

/** The texts as this server may see them. */
async function textsFor(view: ServerView, events: readonly StoredEvent[]): Promise<string[]> {
  const slice = new Slice();
  const texts: string[] = [];
  for (const event of events) {
    texts.push(view.pduText(event));
    if (slice.spent) await slice.tick();
  }
  return texts;
}

/** Opens a snapshot on a room that the server is in. @throws M_FORBIDDEN */
function inRoom<T>(
  { db, rooms }: EventReadParts,
  {
    origin,
    shown,
    params,
  }: { readonly origin: ServerName; readonly shown: Shown; readonly params: { roomId: string } },
  work: (snapshot: Snapshot, room: ReturnType<typeof roomForServer>) => Promise<T>,
): Promise<T> {
  return db.snapshot(async (snapshot) => {
    const room = roomForServer(snapshot, rooms, params.roomId, origin);
    shown.key(`room:${room.nid}`);
    return work(snapshot, room);
  });
}

const eventRoute = (parts: EventReadParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/event/:eventId`,
    auth: 'server',
    rate: 'federation',
    handle: ({ origin, params: { eventId }, shown }) => {
      const { db, rooms } = parts;
      return db.read((snapshot) => {
        const event = rooms.eventById(snapshot, eventId);
        if (event === undefined || event.rejected) throw matrixError.notFound('The event is not known');
        const { roomId, nid } = rooms.roomByNid(snapshot, event.room);
        const room = roomForServer(snapshot, rooms, roomId, origin);
        shown.key(`room:${nid}`);
        return transaction(parts, [new ServerView(snapshot, rooms, room, origin).pduText(event)]);
      });
    },
  });

const stateQuery = v.object({ event_id: v.string() });

const stateRoutes = (parts: EventReadParts): Route[] => {
  const { db, rooms } = parts;
  const row = { method: 'GET', auth: 'server', rate: 'federation', query: stateQuery } as const;
  return [
    route({
      ...row,
      path: `${v1}/state/:roomId`,
      handle: async ({ origin, params: { roomId }, query: { event_id: eventId }, shown }) => {
        const { state, authChain: chain } = await db.snapshot(async (snapshot) => {
          const served = await stateForServer(snapshot, rooms, { roomId, eventId, server: origin });
          shown.key(`room:${rooms.room(snapshot, roomId)?.nid}`);
          return served;
        });
        const [stateTexts, chainTexts] = [await pduTexts(db, rooms, state), await pduTexts(db, rooms, chain)];
        return new JsonText(['{"auth_chain":[', ...joined(chainTexts), '],"pdus":[', ...joined(stateTexts), ']}']);
      },
    }),
    route({
      ...row,
      path: `${v1}/state_ids/:roomId`,
      handle: ({ origin, params: { roomId }, query: { event_id: eventId }, shown }) =>
        db.snapshot(async (snapshot) => {
          const served = await stateForServer(snapshot, rooms, { roomId, eventId, server: origin });
          shown.key(`room:${rooms.room(snapshot, roomId)?.nid}`);
          return {
            auth_chain_ids: await eventIdsOf(snapshot, rooms, served.authChain),
            pdu_ids: await eventIdsOf(snapshot, rooms, served.state),
          };
        }),
    }),
  ];
};

const eventAuthRoute = (parts: EventReadParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/event_auth/:roomId/:eventId`,
    auth: 'server',
    rate: 'federation',
    handle: async (asked) => {
      const { db, rooms } = parts;
      const chain = await inRoom(parts, asked, async (snapshot, room) => {
        const event = rooms.eventById(snapshot, asked.params.eventId);
        if (event === undefined || event.room !== room.nid || event.rejected) {
          throw matrixError.notFound('The event is not known');
        }
        return authChain(snapshot, rooms, room, [event.nid]);
      });
      return new JsonText(['{"auth_chain":[', ...joined(await pduTexts(db, rooms, chain)), ']}']);
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
