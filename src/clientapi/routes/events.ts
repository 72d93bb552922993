/** The event streams from before /sync and `GET /events/{eventId}` (C-S API v1.19 §Room Previews; the latter is deprecated). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { clientEvent, clientView } from '../../roomserver/index.ts';
import type { EventStream, ReadParts } from '../../syncapi/index.ts';
import type { SyncData } from '../../userapi/index.ts';
import { askerOf, token, wholeNumber } from './paging-query.ts';

export interface EventsRouteParts extends ReadParts {
  readonly eventStream: EventStream;
  readonly userData: ReadParts['userData'] & Pick<SyncData, 'polled'>;
}

/** ms */
const timeouts = { default: 30_000, max: 120_000 };

const query = v.object({
  from: token,
  timeout: v.optional(wholeNumber),
  limit: v.optional(wholeNumber),
  room_id: v.optional(v.string()),
});

export const eventsRoutes = (parts: EventsRouteParts): Route[] => [streamRoute(parts), oneEventRoute(parts)];

const streamRoute = ({ eventStream, userData }: EventsRouteParts): Route =>
  route({
    method: 'GET',
    path: '/_matrix/client/v3/events',
    auth: 'guest',
    rate: 'none',
    query,
    handle: async (asked) => {
      const { from, limit, room_id: roomId } = asked.query;
      // Guests look into rooms one by one.
      if (asked.requester.isGuest && roomId === undefined) throw matrixError.guestAccessForbidden();
      const timeout = Math.min(asked.query.timeout ?? timeouts.default, timeouts.max);
      const wanted = { from, limit, roomId, timeout, signal: asked.signal };
      const { userId, deviceId } = asked.requester;
      // Before /sync this was how a client showed that its user is there.
      const endPoll = roomId === undefined ? userData.polled(userId, deviceId, 'online') : undefined;
      try {
        return new JsonText([await eventStream.read(askerOf(asked), wanted)]);
      } finally {
        endPoll?.();
      }
    },
  });

const oneEventRoute = ({ db, rooms, clock }: EventsRouteParts): Route =>
  route({
    method: 'GET',
    path: '/_matrix/client/v3/events/:eventId',
    auth: 'user',
    rate: 'none',
    handle: ({ requester: { userId, deviceId }, params, shown }) =>
      db.read((snapshot) => {
        const event = rooms.eventById(snapshot, params.eventId);
        const isServed = event?.place !== undefined && rooms.mayView(snapshot, userId, event);
        if (!isServed) throw matrixError.notFound('Event not found');
        shown.key(`room:${event.room}`);
        const view = clientView({ userId, deviceId, now: clock.now() });
        return new JsonText([clientEvent(snapshot, rooms, event, view)]);
      }),
  });
