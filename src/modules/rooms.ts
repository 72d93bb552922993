/** Rooms, and the client for other servers that they are fetched with. */
import { createFedClient, type FedClient } from '../fedclient/index.ts';
import { createRemoteRooms, createRoomCore, storesMeasures, type RemoteRooms } from '../roomserver/index.ts';
import type { Site } from './ground.ts';

export interface RoomModules {
  readonly federation: FedClient;
  readonly rooms: ReturnType<typeof createRoomCore>;
  readonly remote: RemoteRooms;
}

export function buildRooms(site: Site): RoomModules {
  const { config, serverName, clock, log, metrics, db, bus, lifecycle, signingKey } = site;
  const federation = lifecycle.use(
    'federation client',
    createFedClient({ db, config, serverName, signingKey, clock, log }),
  );
  metrics.add(federation.measures);
  const rooms = createRoomCore({ db, bus, serverName, signingKey, clock });
  metrics.add(storesMeasures(rooms.stores));
  const remote = lifecycle.use('remote rooms', createRemoteRooms({ federation, db, rooms, serverName, clock, log }));
  lifecycle.use('partial rooms', remote.partial);
  metrics.add(remote.partial.measures);
  metrics.add(remote.measures);
  return { federation, rooms, remote };
}
