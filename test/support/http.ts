/** A started server with any rows on a loopback port, and a small client for it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../src/config/index.ts';
import {
  Metrics,
  RateLimiter,
  startHttp,
  type Authenticator,
  type HttpServer,
  type Requester,
  type ServerAuthenticator,
  type Route,
  type SocketRow,
} from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';
import type { UserId } from '../../src/matrix/ids.ts';
import { openDatabase, type Database } from '../../src/storage/index.ts';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { checkReply } from './reply-check.ts';
import { createLogger, type Logger } from '../../src/util/log.ts';
import { LoopWatch } from '../../src/util/loop-watch.ts';

/** The defaults of the configuration with some sections replaced. */
export function testConfig(overrides: Partial<Config> = {}): Config {
  const loaded = loadConfig({ env: {} });
  if (!loaded.ok) throw new Error('the default configuration does not load');
  return { ...loaded.value, ...overrides };
}

/** A requester with plain rights. */
export const testRequester = (localpart: string, overrides: Partial<Requester> = {}): Requester => ({
  userId: `@${localpart}:localhost` as UserId,
  deviceId: `${localpart.toUpperCase()}1`,
  tokenId: 1,
  isGuest: false,
  isAdmin: false,
  isSuspended: false,
  appserviceId: undefined,
  ...overrides,
});

/** Knows the tokens of a table; any other is M_UNKNOWN_TOKEN. */
export const tableAuthenticator = (tokens: Readonly<Record<string, Requester>>): Authenticator => ({
  authenticate: (token) => {
    const requester = Object.hasOwn(tokens, token) ? tokens[token] : undefined;
    if (requester === undefined) throw matrixError.unknownToken();
    return requester;
  },
});

/** Believes nobody. */
const noServers: ServerAuthenticator = {
  claim: () => {
    throw matrixError.unauthorized();
  },
};

export interface TestDatabase extends AsyncDisposable {
  readonly db: Database;
  readonly folder: string;
}

/** A database with all migrations in a folder of its own, removed when disposed. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'neurite-test-'));
  const db = openDatabase({
    path: join(folder, 'test.db'),
    migrations: join(import.meta.dirname, '../../migrations'),
    onFatal: (error) => {
      throw error;
    },
  });
  const dispose = async (): Promise<void> => {
    await db.close();
    await rm(folder, { recursive: true });
  };
  return { db, folder, [Symbol.asyncDispose]: dispose };
}

export interface TestServerOptions {
  readonly authenticator?: Authenticator;
  readonly servers?: ServerAuthenticator;
  readonly sockets?: readonly SocketRow[];
  readonly config?: Partial<Config>;
  readonly db?: Database;
  readonly clock?: Clock;
  readonly log?: Logger;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly client: TestClient;
  readonly db: Database;
  readonly http: HttpServer;
  /** As `await using`, with time for requests under way; default none. */
  stop(graceMs?: number): Promise<void>;
}

/** Starts a server with `routes`; rate limits are off unless the options' config says otherwise. */
export async function startTestServer(routes: readonly Route[], options: TestServerOptions = {}): Promise<TestServer> {
  const defaults = testConfig();
  const config = {
    ...defaults,
    rateLimits: { ...defaults.rateLimits, enabled: false },
    listeners: [
      { address: '127.0.0.1', port: 0, tls: undefined, resources: ['client', 'federation', 'admin'] as const },
    ],
    ...options.config,
  };
  const clock = options.clock ?? systemClock;
  const log = options.log ?? createLogger({ level: 'silent', format: 'json' });
  const own = options.db === undefined ? await openTestDatabase() : undefined;
  const db = options.db ?? own?.db;
  if (db === undefined) throw new Error('no database');
  const loop = new LoopWatch(log);
  const http = await startHttp({
    config,
    routes,
    sockets: options.sockets ?? [],
    authenticator: options.authenticator ?? tableAuthenticator({}),
    servers: options.servers ?? noServers,
    limiter: new RateLimiter(config.rateLimits, clock),
    db,
    metrics: new Metrics(loop),
    clock,
    log,
  });
  const [url = ''] = http.urls;
  let stopped: Promise<void> | undefined;
  const stop = (graceMs = 0): Promise<void> =>
    (stopped ??= (async () => {
      await http.stop(graceMs);
      loop[Symbol.dispose]();
      await own?.[Symbol.asyncDispose]();
    })());
  return { url, client: new TestClient(url), db, http, stop, [Symbol.asyncDispose]: () => stop() };
}

export interface TestResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is none. Tests look into it as they like. */
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any;
}

export interface TestRequest {
  readonly method?: string;
  readonly token?: string | undefined;
  /** An object is sent as JSON, text and bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

/** Paths begin at the root: `/_matrix/client/v3/…`. */
export class TestClient {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async request(
    path: string,
    { method = 'GET', token, body, headers, signal }: TestRequest = {},
  ): Promise<TestResponse> {
    const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }), ...headers },
      ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await response.text();
    const json = parse(text);
    if (json !== undefined) checkReply(method, path, response.status, json);
    return { status: response.status, headers: response.headers, text, json };
  }

  get(path: string, token?: string): Promise<TestResponse> {
    return this.request(path, { token });
  }

  put(path: string, body: unknown, token?: string): Promise<TestResponse> {
    return this.request(path, { method: 'PUT', body, token });
  }

  post(path: string, body: unknown, token?: string): Promise<TestResponse> {
    return this.request(path, { method: 'POST', body, token });
  }

  delete(path: string, token?: string, body?: unknown): Promise<TestResponse> {
    return this.request(path, { method: 'DELETE', token, ...(body === undefined ? {} : { body }) });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
