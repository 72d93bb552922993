import { describe, expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { route, socketRoute } from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';
import { startTestServer, tableAuthenticator, testConfig, testRequester } from '../support/http.ts';

const authenticator = tableAuthenticator({ alice: testRequester('alice') });
const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  );

describe('stopping', () => {
  test('a parked request is answered with what it has, and its connection closed', async () => {
    const parked = Promise.withResolvers<void>();
    const server = await startTestServer([
      route({
        method: 'GET',
        path: '/park',
        auth: 'none',
        rate: 'none',
        handle: async ({ signal }) => {
          parked.resolve();
          await aborted(signal);
          return { next_batch: '7' };
        },
      }),
    ]);
    const answer = server.client.get('/park');
    await parked.promise;
    await server.stop(5000);
    expect((await answer).json).toEqual({ next_batch: '7' });
    expect((await answer).headers.get('connection')).toBe('close');
    await expect(server.client.get('/park')).rejects.toThrow();
  });

  test('a request in work is finished', async () => {
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const server = await startTestServer([
      route({
        method: 'GET',
        path: '/work',
        auth: 'none',
        rate: 'none',
        handle: async () => {
          begun.resolve();
          await gate.promise;
          return { done: true };
        },
      }),
    ]);
    const answer = server.client.get('/work');
    await begun.promise;
    const stopped = server.stop(5000);
    gate.resolve();
    expect((await answer).json).toEqual({ done: true });
    await stopped;
  });

  test('what does not end in time is cut', async () => {
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const server = await startTestServer([
      route({
        method: 'GET',
        path: '/never',
        auth: 'none',
        rate: 'none',
        handle: () => {
          begun.resolve();
          return gate.promise;
        },
      }),
    ]);
    const answer = server.client.get('/never').then(
      () => 'answered',
      () => 'cut',
    );
    await begun.promise;
    await server.stop(20);
    expect(await answer).toBe('cut');
    gate.resolve();
  });

  test('a connection that asks nothing does not hold the end up', async () => {
    const server = await startTestServer([]);
    const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(silent, 'connect');
    const closed = once(silent, 'close');
    silent.resume();
    await server.stop(60_000);
    await closed;
  });

  test('a handler hears that its client has gone', async () => {
    const begun = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    await using server = await startTestServer([
      route({
        method: 'GET',
        path: '/park',
        auth: 'none',
        rate: 'none',
        handle: async ({ signal }) => {
          begun.resolve();
          await aborted(signal);
          gone.resolve();
        },
      }),
    ]);
    const controller = new AbortController();
    const answer = server.client.request('/park', { signal: controller.signal });
    await begun.promise;
    controller.abort();
    await expect(answer).rejects.toThrow();
    await gone.promise;
  });
});

describe('listeners', () => {
  const rows = [
    route({ method: 'GET', path: '/_matrix/client/v3/x', auth: 'none', rate: 'none', handle: () => ({}) }),
    route({ method: 'GET', path: '/_matrix/federation/v1/x', auth: 'none', rate: 'none', handle: () => ({}) }),
    route({ method: 'GET', path: '/_neurite/admin/v1/x', auth: 'none', rate: 'none', handle: () => ({}) }),
  ];
  const listener = (...resources: ('client' | 'federation' | 'admin' | 'metrics')[]) => ({
    address: '127.0.0.1',
    port: 0,
    tls: undefined,
    resources,
  });

  test('each serves its own resources and its health', async () => {
    await using server = await startTestServer(rows, {
      config: { listeners: [listener('client'), listener('federation', 'admin')] },
    });
    const statuses = await Promise.all(
      server.http.urls.flatMap((url) =>
        [...rows.map(({ path }) => path), '/health'].map(async (path) => (await fetch(url + path)).status),
      ),
    );
    expect(statuses).toEqual([200, 404, 404, 200, 404, 200, 200, 200]);
  });

  test('metrics count requests by route and status', async () => {
    await using server = await startTestServer(rows, { config: { listeners: [listener('client', 'metrics')] } });
    await server.client.get('/_matrix/client/v3/x');
    const answer = await server.client.get('/metrics');
    expect(answer.text).toContain(
      'neurite_http_requests_seconds_count{method="GET",route="/_matrix/client/v3/x",status="200"} 1',
    );
    expect(answer.text).toContain('neurite_loop_delay_seconds{quantile="0.99"}');
    expect(answer.headers.get('content-type')).toContain('text/plain');
  });

  test('an address that is taken is named in one sentence', async () => {
    await using server = await startTestServer(rows);
    const port = Number(new URL(server.url).port);
    const second = startTestServer(rows, { config: { listeners: [{ ...listener('client'), port }] }, db: server.db });
    await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1 port ${port}: another program listens there`);
  });

  test('two rows of one path are refused at start', async () => {
    await using server = await startTestServer(rows);
    await expect(startTestServer([...rows, ...rows], { db: server.db })).rejects.toThrow('two routes serve');
  });

  test('what is no HTTP gets an answer in JSON', async () => {
    await using server = await startTestServer(rows);
    const stream = connect(Number(new URL(server.url).port), '127.0.0.1');
    stream.write('nonsense\r\n\r\n');
    const [data] = (await once(stream, 'data')) as [Buffer];
    expect(data.toString()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*M_UNKNOWN/);
    stream.destroy();
  });

  test('rate limits are those of the configuration', async () => {
    const limited = route({ method: 'GET', path: '/r', auth: 'none', rate: 'login', handle: () => ({}) });
    const rateLimits = { ...testConfig().rateLimits, login: { perSecond: 0.001, burst: 1 } };
    await using server = await startTestServer([limited], { config: { rateLimits } });
    expect((await server.client.get('/r')).status).toBe(200);
    const second = await server.client.get('/r');
    expect([second.status, second.json.errcode]).toEqual([429, 'M_LIMIT_EXCEEDED']);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(100);
  });
});

describe('sockets', () => {
  const echo = socketRoute({
    path: '/_matrix/client/v3/echo',
    auth: 'user',
    open: async ({ requester, signal }, socket) => {
      socket.onMessage((text) => void socket.send(`${requester.userId} ${text}`));
      await socket.send('hello');
      await aborted(signal);
    },
  });
  const refusing = socketRoute({
    path: '/_matrix/client/v3/refuse',
    auth: 'none',
    open: () => Promise.reject(matrixError.forbidden('not you')),
  });
  const start = () => startTestServer([], { sockets: [echo, refusing], authenticator });
  const socketOf = (url: string, path: string, protocols: string[] = [], headers = {}): WebSocket =>
    new WebSocket(url.replace('http', 'ws') + path, protocols, { headers });
  const next = async (socket: WebSocket): Promise<string> => String(((await once(socket, 'message')) as [Buffer])[0]);

  test.each([
    ['the header', '', [], { Authorization: 'Bearer alice' }],
    ['the query', '?access_token=alice', [], {}],
    ['a subprotocol', '', ['m.json', 'm.access_token.alice'], {}],
  ])('the token comes by %s', async (_name, query, protocols, headers) => {
    await using server = await start();
    const socket = socketOf(server.url, `/_matrix/client/v3/echo${query}`, protocols, headers);
    expect(await next(socket)).toBe('hello');
    socket.send('x');
    expect(await next(socket)).toBe('@alice:localhost x');
    expect(socket.protocol).toBe(protocols.length > 0 ? 'm.json' : '');
    socket.close();
    await once(socket, 'close');
  });

  test.each([
    ['without a token', '/_matrix/client/v3/echo', 401],
    ['to an unknown path', '/_matrix/client/v3/nothing', 404],
  ])('an upgrade %s is refused as any request is', async (_name, path, status) => {
    await using server = await start();
    const socket = socketOf(server.url, path);
    socket.on('error', () => undefined);
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(status);
  });

  test('an error is the last frame', async () => {
    await using server = await start();
    const socket = socketOf(server.url, '/_matrix/client/v3/refuse');
    expect(JSON.parse(await next(socket))).toEqual({ errcode: 'M_FORBIDDEN', error: 'not you' });
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBe(1008);
  });

  test('a stopping server closes its sockets', async () => {
    const server = await start();
    const socket = socketOf(server.url, '/_matrix/client/v3/echo?access_token=alice');
    await next(socket);
    const closed = once(socket, 'close');
    await server.stop(5000);
    expect((await closed)[0]).toBe(1001);
  });
});
