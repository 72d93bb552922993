/** The rows that other servers ask, over rooms that a test fills: whoever asks says its name, signatures are left out. */
import type { Config } from '../../src/config/index.ts';
import {
  eventReadRoutes,
  federationDirectoryRoutes,
  federationHierarchyRoutes,
  stateReadRoutes,
} from '../../src/federation/index.ts';
import type { ServerAuthenticator } from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { createPerform, type Perform } from '../../src/roomserver/index.ts';
import { startTestServer, type TestResponse, type TestServer } from './http.ts';
import { openTestRooms, type TestRooms } from './room-core.ts';

/** Takes the name in `Authorization: Test <server>` for the origin. */
export const trusting: ServerAuthenticator = {
  claim: ([header]) => {
    const origin = /^Test (\S+)$/.exec(header ?? '')?.[1];
    if (origin === undefined) throw matrixError.unauthorized();
    return { origin: origin as ServerName, verify: async () => undefined };
  },
};

export interface Serving extends AsyncDisposable {
  readonly rooms: TestRooms;
  readonly perform: Perform;
  readonly server: TestServer;
  /** As another server; the path stands below `/_matrix/federation/v1`. */
  ask(origin: string, path: string, body?: unknown): Promise<TestResponse>;
}

/** The server `us.test`. */
export async function startServing(config: Partial<Config> = {}): Promise<Serving> {
  const serverName = 'us.test' as ServerName;
  const rooms = openTestRooms(serverName);
  const { db, core } = rooms;
  const clock = { now: () => rooms.time.now, sleep: async (): Promise<void> => undefined };
  const users = {
    isLocal: (user: string) => user.endsWith(':us.test'),
    profileOf: () => ({}),
    isGuest: () => false,
    isActive: () => true,
    isNoticeRoom: () => false,
    blocksInvites: () => false,
    followUpgrade: () => undefined,
  };
  const perform = createPerform({ rooms: core, users, serverName, defaultVersion: '12', clock });
  const parts = { db, rooms: core, perform, serverName, clock, isListShared: true };
  // No room is partial here.
  const reading = { ...parts, remote: { partial: { awaitFull: async (): Promise<void> => undefined } } };
  const queries = { alias: async (): Promise<void> => undefined };
  const routes = [
    ...eventReadRoutes(reading),
    ...stateReadRoutes(reading),
    ...federationDirectoryRoutes({ ...parts, queries, networkRooms: { rooms: () => [] } }),
    ...federationHierarchyRoutes(parts),
  ];
  const server = await startTestServer(routes, { servers: trusting, db, config });
  return {
    rooms,
    perform,
    server,
    ask: (origin, path, body) =>
      server.client.request(`/_matrix/federation/v1${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { Authorization: `Test ${origin}` },
        ...(body === undefined ? {} : { body }),
      }),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rooms[Symbol.asyncDispose]();
    },
  };
}
