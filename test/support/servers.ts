/**
 * Several whole servers in this process, each with a data folder of its own, that reach each other on loopback with TLS:
 * their names are `localhost` with a port, so that nothing is looked up.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startApp } from '../../src/app.ts';
import type { App } from '../../src/app-interface.ts';
import { loadConfig } from '../../src/config/index.ts';
import { Client, type Session } from './client.ts';
import { freePort, temporaryFolder } from './server-process.ts';
import { makeTestCa, type TestCa } from './tls.ts';

export interface FederatedServer extends AsyncDisposable {
  /** `localhost:PORT` */
  readonly name: string;
  readonly data: string;
  /** Of the listener for clients, plain HTTP. */
  readonly baseUrl: string;
  /** What an operator's commands ask of it. @throws while it is stopped */
  readonly app: App;
  /** Registers an account and logs it in. */
  user(localpart: string): Promise<Client>;
  /** Stops; `start` goes on with the same data, name and port. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface ServersOptions {
  /** More configuration for all of them, as `path.to.key` → text as in the environment. */
  readonly set?: Readonly<Record<string, string>>;
}

const settings = {
  'registration.mode': 'open',
  'rate_limits.enabled': 'false',
  'passwords.memory': '64 KiB',
  'passwords.passes': '1',
  'log.level': process.env.NEURITE_TEST_LOG ?? 'silent',
  'federation.allow_networks': '["127.0.0.0/8", "::1/128"]',
};

/** Starts some servers; dispose of each. `ca` signs their certificates (and those of a scripted peer). */
export async function startServers(
  count: number,
  options: ServersOptions = {},
): Promise<{ readonly servers: readonly FederatedServer[]; readonly ca: TestCa }> {
  const ca = makeTestCa();
  const servers = await Promise.all(Array.from({ length: count }, () => startServer(ca, options)));
  return { servers, ca };
}

export async function startServer(ca: TestCa, { set = {} }: ServersOptions = {}): Promise<FederatedServer> {
  const data = temporaryFolder();
  const [port, clientPort] = [await freePort(), await freePort()];
  const certificate = ca.issue('localhost');
  const files = { ca: join(data, 'ca.pem'), cert: join(data, 'cert.pem'), key: join(data, 'key.pem') };
  writeFileSync(files.ca, ca.cert);
  writeFileSync(files.cert, certificate.cert);
  writeFileSync(files.key, certificate.key);
  const listeners = [
    { address: '127.0.0.1', port: clientPort, resources: ['client', 'federation', 'admin'] },
    { address: '127.0.0.1', port, tls: { cert: files.cert, key: files.key }, resources: ['client', 'federation'] },
  ];
  const all = {
    ...settings,
    server_name: `localhost:${port}`,
    data_dir: data,
    listeners: JSON.stringify(listeners),
    'federation.ca_file': files.ca,
    ...set,
  };
  const loaded = loadConfig({
    env: Object.fromEntries(
      Object.entries(all).map(([key, value]) => [`NEURITE_${key.replaceAll('.', '__').toUpperCase()}`, value]),
    ),
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  let app: App | undefined = await startApp(loaded.value);
  const stop = async (): Promise<void> => {
    await app?.close();
    app = undefined;
  };
  const baseUrl = `http://127.0.0.1:${clientPort}`;
  return {
    name: `localhost:${port}`,
    data,
    baseUrl,
    get app() {
      if (app === undefined) throw new Error('the server is stopped');
      return app;
    },
    user: (localpart) => register(baseUrl, localpart),
    stop,
    start: async () => {
      app ??= await startApp(loaded.value);
    },
    [Symbol.asyncDispose]: async () => {
      await stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

async function register(baseUrl: string, localpart: string): Promise<Client> {
  const auth = { type: 'm.login.dummy' };
  const body = await new Client(baseUrl).must('POST', '/_matrix/client/v3/register', {
    username: localpart,
    password: 'correct horse battery',
    auth,
  });
  const session: Session = {
    userId: String(body.user_id),
    deviceId: String(body.device_id),
    token: String(body.access_token),
  };
  return new Client(baseUrl, session);
}
