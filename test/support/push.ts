/** A server whose users have pushers at a gateway on this machine. */
import type { Config } from '../../src/config/index.ts';
import type { TestResponse } from './http.ts';
import { testConfig } from './http.ts';
import { startPushGateway, type TestGateway } from './push-gateway.ts';
import { openRoom, register, startUserServer, v3, type TestSession, type UserServer } from './userapi.ts';

export interface PushServer extends UserServer {
  readonly gateway: TestGateway;
  readonly alice: TestSession;
  readonly bob: TestSession;
  /** A room of both. */
  readonly roomId: string;
}

/** The first pause of a lane that failed, in ms: nothing else in the server sleeps for this long. */
export const firstPause = 1009;

const defaults = testConfig().push;
export const loopback: Config['push'] = {
  ...defaults,
  allowNetworks: ['127.0.0.0/8'],
  retry: { ...defaults.retry, first: firstPause },
};

/** Alice and Bob in a room of two; nobody has a pusher yet. */
export async function startPushServer(config: Partial<Config> = {}): Promise<PushServer> {
  const gateway = await startPushGateway();
  const server = await startUserServer({ push: loopback, ...config });
  const alice = await register(server.client, 'alice');
  const bob = await register(server.client, 'bob');
  const roomId = await openRoom(server.client, alice, bob);
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await gateway[Symbol.asyncDispose]();
  };
  return { ...server, gateway, alice, bob, roomId, [Symbol.asyncDispose]: dispose };
}

/** The body of `/pushers/set` for a gateway. */
export const pusherBody = (url: string, more: object = {}): object => ({
  kind: 'http',
  app_id: 'org.example.app',
  pushkey: 'key',
  app_display_name: 'App',
  device_display_name: 'Phone',
  lang: 'en',
  data: { url },
  ...more,
});

export function setPusher({ client, gateway }: PushServer, by: TestSession, more: object = {}): Promise<TestResponse> {
  return client.post(`${v3}/pushers/set`, pusherBody(gateway.url, more), by.token);
}

export async function pushersOf({ client }: PushServer, by: TestSession): Promise<Record<string, unknown>[]> {
  return (await client.get(`${v3}/pushers`, by.token)).json.pushers;
}

export const readUpTo = ({ client }: PushServer, by: TestSession, roomId: string, eventId: string) =>
  client.post(`${v3}/rooms/${encodeURIComponent(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`, {}, by.token);
