/**
 * States and auth chains for other servers in the room (S-S API v1.19 §Retrieving events, §Retrieving event authorisation
 * information).
 */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { authChain, eventIdsOf, pduTexts, stateForServer } from '../../roomserver/index.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Gate } from '../../util/gate.ts';
import { type Asked, type EventReadParts, inRoom, joined, settled } from './reading.ts';

const v1 = '/_matrix/federation/v1';
/** Whole states are in memory until they are sent: so many at a time. */
const mostStates = 2;

export const stateReadRoutes = (parts: EventReadParts): Route[] => [...stateRoutes(parts), eventAuthRoute(parts)];

const stateQuery = v.object({ event_id: v.string() });

const stateRoutes = (parts: EventReadParts): Route[] => {
  const { db, rooms } = parts;
  const row = { method: 'GET', auth: 'server', rate: 'federation', query: stateQuery } as const;
  const gate = new Gate(mostStates);
  const served = (
    snapshot: Snapshot,
    { origin: server, params: { roomId }, query: { event_id: eventId }, shown }: Asked & StateAsked,
  ) => {
    const state = stateForServer(snapshot, rooms, { roomId, eventId, server });
    shown.key(`room:${rooms.room(snapshot, roomId)?.nid}`);
    return state;
  };
  return [
    route({
      ...row,
      path: `${v1}/state/:roomId`,
      handle: async (asked) => {
        await settled(parts, asked.params.roomId, asked.signal);
        return gate.run(async () => {
          const { state, authChain: chain } = await db.snapshot((snapshot) => served(snapshot, asked));
          const [stateTexts, chainTexts] = [await pduTexts(db, rooms, state), await pduTexts(db, rooms, chain)];
          return new JsonText(['{"auth_chain":[', ...joined(chainTexts), '],"pdus":[', ...joined(stateTexts), ']}']);
        });
      },
    }),
    route({
      ...row,
      path: `${v1}/state_ids/:roomId`,
      handle: async (asked) => {
        await settled(parts, asked.params.roomId, asked.signal);
        return db.snapshot(async (snapshot) => {
          const { state, authChain: chain } = await served(snapshot, asked);
          return {
            auth_chain_ids: await eventIdsOf(snapshot, rooms, chain),
            pdu_ids: await eventIdsOf(snapshot, rooms, state),
          };
        });
      },
    }),
  ];
};

interface StateAsked {
  readonly params: { readonly roomId: string };
  readonly query: { readonly event_id: string };
}

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
