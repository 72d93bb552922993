/** What only application services may ask for: ping, and the room lists of their networks (A-S API v1.19 §Pinging, §Published room directories). */
import * as v from 'valibot';
import type { Appservices, Registration } from '../../appservice/index.ts';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { RoomCore } from '../../roomserver/index.ts';
import type { Database } from '../../storage/index.ts';
import { maybe } from './body.ts';

export interface AppserviceRouteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly appservices: Appservices;
}

const listPath = '/_matrix/client/v3/directory/list/appservice/:networkId/:roomId';

export function appserviceRoutes({ db, rooms, appservices }: AppserviceRouteParts): Route[] {
  /** @throws M_FORBIDDEN for anyone but an application service */
  const serviceOf = ({ appserviceId }: Requester): Registration => {
    const service = appservices.registry.all.find(({ id }) => id === appserviceId);
    if (service === undefined) throw matrixError.forbidden('Only an application service may do this');
    return service;
  };
  const list = async (service: Registration, network: string, roomId: string, listed: boolean): Promise<object> => {
    await db.write((tx) => {
      const room = rooms.room(tx, roomId);
      if (room === undefined) throw matrixError.notFound('There is no such room');
      appservices.directory.set(tx, service.id, network, room.nid, listed);
    });
    return {};
  };
  return [
    route({
      method: 'POST',
      path: '/_matrix/client/v1/appservice/:appserviceId/ping',
      auth: 'user',
      rate: 'none',
      body: v.object({ transaction_id: maybe(v.string()) }),
      handle: async ({ requester, params: { appserviceId }, body }) => {
        const service = serviceOf(requester);
        if (service.id !== appserviceId)
          throw matrixError.forbidden('This is the token of another application service');
        return { duration_ms: await appservices.ping(service, body.transaction_id) };
      },
    }),
    route({
      method: 'PUT',
      path: listPath,
      auth: 'user',
      rate: 'none',
      body: v.object({ visibility: v.picklist(['public', 'private']) }),
      handle: ({ requester, params: { networkId, roomId }, body }) =>
        list(serviceOf(requester), networkId, roomId, body.visibility === 'public'),
    }),
    route({
      method: 'DELETE',
      path: listPath,
      auth: 'user',
      rate: 'none',
      handle: ({ requester, params: { networkId, roomId } }) => list(serviceOf(requester), networkId, roomId, false),
    }),
  ];
}
