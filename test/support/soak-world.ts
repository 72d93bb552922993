/** Three servers as processes of their own behind cuttable links, and the users that a soak lets loose on them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registrationOf } from './app-service.ts';
import { registerAccount, Client } from './client.ts';
import type { Links } from './links.ts';
import { freePort, startServerProcess, temporaryFolder, type ServerProcess } from './server-process.ts';
import type { TestCa } from './tls.ts';

export interface SoakUser {
  readonly client: Client;
  readonly userId: string;
  readonly server: SoakServer;
  /** Stays in its rooms and keeps its power; the others are kicked and banned. */
  readonly isAnchor: boolean;
  /** What its clock is off by, in ms; 0 for users whose events' time cannot be set. */
  readonly skewMs: number;
}

export interface SoakServer {
  readonly index: number;
  readonly name: string;
  readonly data: string;
  anchor: SoakUser;
  readonly others: SoakUser[];
  /** Answers, as far as the test knows. */
  isUp: boolean;
  readonly process: () => ServerProcess;
  start(): Promise<void>;
}

/** Events of a server's anchor say a time that is off by this much. */
const skews = [0, -40 * 60_000, 50 * 60_000];

export async function startSoakServer(index: number, ca: TestCa, links: Links): Promise<SoakServer> {
  const data = temporaryFolder();
  const [port, realPort, clientPort] = [await freePort(), await freePort(), await freePort()];
  await links.relay(index, port, realPort);
  const name = `localhost:${port}`;
  const files = {
    ca: join(data, 'ca.pem'),
    cert: join(data, 'cert.pem'),
    key: join(data, 'key.pem'),
    service: join(data, 'service.yaml'),
  };
  const { cert, key } = ca.issue('localhost');
  // The only clients that may say when their events happened are application services.
  const service = registrationOf(null, { sender_localpart: 'anchor', as_token: `as${index}`, namespaces: {} });
  writeFileSync(files.ca, ca.cert);
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  writeFileSync(files.service, JSON.stringify(service));
  const listeners = [
    { address: '127.0.0.1', port: clientPort, resources: ['client', 'admin'] },
    { address: '127.0.0.1', port: realPort, tls: { cert: files.cert, key: files.key }, resources: ['federation'] },
  ];
  const set = {
    server_name: name,
    listeners: JSON.stringify(listeners),
    appservices: JSON.stringify([files.service]),
    'log.level': process.env['NEURITE_TEST_LOG'] ?? 'warn',
    'federation.allow_networks': '["127.0.0.0/8", "::1/128"]',
    'federation.ca_file': files.ca,
  };
  const boot = async (): Promise<ServerProcess> => {
    const started = await startServerProcess({ data, port: clientPort, set });
    if (started.child.pid !== undefined) links.runsAs(index, started.child.pid);
    return started;
  };
  let running = await boot();
  const userId = `@anchor:${name}`;
  const client = new Client(running.baseUrl, { userId, deviceId: '', token: `as${index}` });
  const others: SoakUser[] = [];
  const server: SoakServer = {
    index,
    name,
    data,
    anchor: { client, userId, isAnchor: true, skewMs: skews[index] ?? 0 } as SoakUser,
    others,
    isUp: true,
    process: () => running,
    start: async () => {
      running = await boot();
      server.isUp = true;
    },
  };
  server.anchor = { ...server.anchor, server };
  for (const localpart of ['bea', 'cem']) {
    const account = await registerAccount(running.baseUrl, localpart);
    others.push({ client: account, userId: account.userId, server, isAnchor: false, skewMs: 0 });
  }
  return server;
}
