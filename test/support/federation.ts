/** A federation client on a database of its own, and scripted servers with TLS on loopback for it to speak with. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../src/config/index.ts';
import { createFedClient, type FedClient, type Names, type SigningKey } from '../../src/fedclient/index.ts';
import { writeKeyDocument } from '../../src/fedclient/key-document.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { SrvRecord } from '../../src/matrix/discovery.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Database } from '../../src/storage/index.ts';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { openTestDatabase, testConfig } from './http.ts';
import { makeTestCa, type TestCa } from './tls.ts';

export const testSigningKey = (version: string): SigningKey => ({
  keyId: `ed25519:${version}`,
  key: keyPairFromSeed(randomBytes(32)),
});

/** The network as a test wants it. */
export class TestNetwork implements Names {
  readonly ca: TestCa = makeTestCa();
  /** Host → addresses. */
  readonly hosts = new Map<string, readonly string[]>();
  readonly records = new Map<string, readonly SrvRecord[]>();
  /** `address port` → the port that really listens. */
  readonly ports = new Map<string, number>();
  /** What was asked and dialled, in order. */
  readonly log: string[] = [];

  async addresses(host: string): Promise<readonly string[]> {
    this.log.push(`addresses ${host}`);
    return this.hosts.get(host) ?? [];
  }

  async srv(service: string): Promise<readonly SrvRecord[]> {
    this.log.push(`srv ${service}`);
    return this.records.get(service) ?? [];
  }

  forget(): void {}

  close(): void {}

  dial = (address: string, port: number) => {
    this.log.push(`dial ${address} ${port}`);
    const real = this.ports.get(`${address} ${port}`);
    if (real !== undefined) return connect({ host: '127.0.0.1', port: real });
    // Nobody listens on port 1.
    return connect({ host: address, port: port < 10_000 ? 1 : port });
  };
}

export interface PeerRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Of the connection. */
  readonly sni: string | false | undefined;
  readonly socket: number;
}

export type PeerHandler = (request: PeerRequest, response: ServerResponse) => void | Promise<void>;

export interface Peer extends AsyncDisposable {
  readonly port: number;
  readonly requests: PeerRequest[];
  handle: PeerHandler;
  readonly server: Server;
}

export const sendJson = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
};

/** A server with a certificate for `names`; it answers 404 until it gets another handler. */
export async function startPeer(
  network: TestNetwork,
  names: readonly string[],
  handle: PeerHandler = (_request, response) => sendJson(response, { errcode: 'M_UNRECOGNIZED', error: 'no' }, 404),
  address = '127.0.0.1',
): Promise<Peer> {
  const sockets = new Map<unknown, number>();
  const server = createServer(network.ca.issue(...names));
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const socket = request.socket as IncomingMessage['socket'] & { servername?: string | false };
      if (!sockets.has(socket)) sockets.set(socket, sockets.size);
      const seen: PeerRequest = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(pieces).toString(),
        sni: socket.servername,
        socket: sockets.get(socket) ?? 0,
      };
      peer.requests.push(seen);
      void peer.handle(seen, response);
    });
  });
  server.listen(0, address);
  await once(server, 'listening');
  const peer: Peer = {
    port: (server.address() as AddressInfo).port,
    requests: [],
    handle,
    server,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return peer;
}

export interface TestFed extends AsyncDisposable {
  readonly fed: FedClient;
  readonly db: Database;
  readonly signingKey: SigningKey;
}

export interface TestFedOptions {
  readonly serverName?: string;
  readonly clock?: Clock;
  readonly config?: Partial<Config['federation']>;
  readonly db?: Database;
}

/** A federation client that may reach loopback only. */
export async function startFed(network: TestNetwork, options: TestFedOptions = {}): Promise<TestFed> {
  const own = options.db === undefined ? await openTestDatabase() : undefined;
  const db = options.db ?? own?.db;
  if (db === undefined) throw new Error('no database');
  const caFile = join(tmpdir(), `neurite-ca-${randomBytes(6).toString('hex')}.pem`);
  writeFileSync(caFile, network.ca.cert);
  const defaults = testConfig().federation;
  const signingKey = testSigningKey('own');
  const fed = createFedClient({
    db,
    config: { federation: { ...defaults, allowNetworks: ['127.0.0.0/8', '::1'], caFile, ...options.config } },
    serverName: (options.serverName ?? 'us.test') as ServerName,
    signingKey,
    clock: options.clock ?? systemClock,
    log: createLogger({ level: 'silent', format: 'json' }),
    names: network,
    dial: network.dial,
  });
  rmSync(caFile);
  const dispose = async (): Promise<void> => {
    await fed[Symbol.asyncDispose]();
    await db.flushed();
    await own?.[Symbol.asyncDispose]();
  };
  return { fed, db, signingKey, [Symbol.asyncDispose]: dispose };
}

export interface KeyedPeer extends Peer {
  readonly name: ServerName;
  /** The keys that it publishes; tests change them. */
  keys: {
    signing: SigningKey;
    validUntil: () => number;
    old: { keyId: string; publicKey: Uint8Array; expiredAt: number }[];
  };
  document(): JsonObject;
}

/** A server called `<host>:<port>` that publishes keys and otherwise answers as `handle` says. */
export async function startKeyedPeer(network: TestNetwork, host: string, handle?: PeerHandler): Promise<KeyedPeer> {
  network.hosts.set(host, ['127.0.0.1']);
  const peer = await startPeer(network, [host], handle);
  const rest = peer.handle;
  const keyed = peer as KeyedPeer;
  const name = `${host}:${peer.port}` as ServerName;
  Object.assign(keyed, {
    name,
    keys: { signing: testSigningKey('peer'), validUntil: () => Date.now() + 24 * 3_600_000, old: [] },
    document: () => {
      const { signing, validUntil, old } = keyed.keys;
      return writeKeyDocument({ serverName: name, keyId: signing.keyId, key: signing.key, oldKeys: old }, validUntil());
    },
  });
  peer.handle = (request, response) => {
    if (request.url !== '/_matrix/key/v2/server') return rest(request, response);
    sendJson(response, keyed.document());
  };
  return keyed;
}

/** How often a peer was asked for its keys. */
export const keyFetches = (peer: Peer): number =>
  peer.requests.filter(({ url }) => url === '/_matrix/key/v2/server').length;
