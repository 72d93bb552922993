/** What was said in a room, for administrators who look into reports: as the room's members see it, and all of it. */
import * as v from 'valibot';
import { JsonText, direction, route, wholeNumber, type RequestContext, type Route } from '../http/index.ts';
import { emptyEventFilter, parseEventFilter, type EventFilter } from '../matrix/filters.ts';
import { matrixError } from '../matrix/errors.ts';
import { parseJson } from '../matrix/json.ts';
import type { EventNid, Perform, RoomReader } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import { readContext, readEventAtTime, readMessages, type Asker, type ReadParts } from '../syncapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { knownRoom, v1 } from './common.ts';

export interface RoomHistoryParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Pick<Perform, 'aliases'>;
  readonly clock: Clock;
}

const messagesQuery = v.object({
  from: v.optional(v.string()),
  to: v.optional(v.string()),
  dir: v.optional(direction, 'f'),
  limit: v.optional(wholeNumber),
  filter: v.optional(v.string()),
});

/** A reader that keeps nothing of a room from anybody. */
const unveiled = (rooms: RoomReader): RoomReader => ({
  ...rooms,
  membership: () => ({ membership: 'join', event: 0 as EventNid }),
  visibleTo: (_snapshot, _user, events) => [...events],
  mayView: () => true,
});

/** @throws M_BAD_JSON */
function filterOf(text: string | undefined): EventFilter {
  const filter = text === undefined ? undefined : parseEventFilter(parseJson(text) ?? '');
  if (filter === undefined) return emptyEventFilter;
  if (!filter.ok) throw matrixError.badJson(`filter: ${filter.error}`);
  return filter.value;
}

export function roomHistoryRoutes({ db, rooms, perform, clock }: RoomHistoryParts): Route[] {
  const parts: ReadParts = { db, rooms: unveiled(rooms), clock, userData: { ignoredUsers: () => new Set() } };
  const roomIdOf = (text: string): string =>
    db.read((snapshot) => knownRoom(snapshot, { rooms, perform }, text).roomId);
  const asker = ({
    requester,
    shown,
  }: Pick<RequestContext<'admin', unknown, unknown, unknown>, 'requester' | 'shown'>) =>
    ({ userId: requester.userId, deviceId: requester.deviceId, shown }) satisfies Asker;
  return [
    route({
      method: 'GET',
      path: `${v1}/rooms/:roomId/messages`,
      auth: 'admin',
      rate: 'none',
      query: messagesQuery,
      handle: async (asked) => {
        const { from, to, dir, limit, filter } = asked.query;
        const roomId = roomIdOf(asked.params.roomId);
        const wanted = { roomId, from, to, limit, direction: dir, filter: filterOf(filter) };
        return new JsonText([await readMessages(parts, asker(asked), wanted)]);
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/rooms/:roomId/context/:eventId`,
      auth: 'admin',
      rate: 'none',
      query: v.object({ limit: v.optional(wholeNumber), filter: v.optional(v.string()) }),
      handle: async (asked) => {
        const { limit, filter } = asked.query;
        const { eventId } = asked.params;
        const wanted = { roomId: roomIdOf(asked.params.roomId), eventId, limit, filter: filterOf(filter) };
        return new JsonText([await readContext(parts, asker(asked), wanted)]);
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/rooms/:roomId/timestamp_to_event`,
      auth: 'admin',
      rate: 'none',
      query: v.object({ ts: wholeNumber, dir: v.optional(direction, 'f') }),
      handle: (asked) => {
        const { ts, dir } = asked.query;
        return readEventAtTime(parts, asker(asked), { roomId: roomIdOf(asked.params.roomId), ts, direction: dir });
      },
    }),
  ];
}
