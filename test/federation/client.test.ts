import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { jsonReply } from '../../src/fedclient/reply.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { parseXMatrix, requestCheck, requestContent } from '../../src/matrix/xmatrix.ts';
import { verify } from '../../src/matrix/crypto/ed25519.ts';
import { parseLosslessJson } from '../../src/matrix/json.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { sendJson, startFed, startKeyedPeer, startPeer, TestNetwork, type TestFed } from '../support/federation.ts';

const ok = { kind: 'well' };
const target = { method: 'GET', path: '/_matrix/federation/v1/query/x' } as const;

let network: TestNetwork;
let us: TestFed;
beforeAll(async () => {
  network = new TestNetwork();
  us = await startFed(network);
});
afterAll(async () => us[Symbol.asyncDispose]());

const get = (server: ServerName, more: object = {}) =>
  us.fed.client.exchange(server, { ...target, ignoreBackoff: true, ...more }, jsonReply);

describe('requests to other servers', () => {
  test('are signed over the exact request target and body', async () => {
    await using peer = await startKeyedPeer(network, 'signed.test', (_, response) => sendJson(response, ok));
    const body = { b: [1, 'é\u2028'], a: { z: null } };
    const query = { v: ['$a', '$b c'], limit: 3 };
    const path = '/_matrix/federation/v1/send/%2F%3Fa';
    const reply = await us.fed.client.exchange(peer.name, { method: 'PUT', path, query, body }, jsonReply);
    expect(reply).toEqual({ ok: true, value: ok });
    const [request] = peer.requests;
    if (request === undefined) throw new Error('no request');
    expect(request.url).toBe('/_matrix/federation/v1/send/%2F%3Fa?v=%24a&v=%24b%20c&limit=3');
    expect(request.headers['content-type']).toBe('application/json');
    expect(request.headers['content-length']).toBe(String(Buffer.byteLength(request.body)));
    expect(request.headers['transfer-encoding']).toBeUndefined();
    expect(JSON.parse(request.body)).toEqual(body);
    const claim = parseXMatrix(request.headers.authorization ?? '');
    expect(claim).toMatchObject({ origin: 'us.test', destination: peer.name, key: 'ed25519:own' });
    if (claim === undefined) throw new Error('no claim');
    const signed = {
      method: 'PUT',
      uri: request.url,
      content: requestContent(parseLosslessJson(request.body) ?? null),
    };
    const check = requestCheck(claim, signed, us.signingKey.key.publicKey);
    expect(check !== undefined && verify(check.message, check.signature, check.publicKey)).toBe(true);
  });

  test('keep the numbers of old rooms as they came', async () => {
    await using peer = await startKeyedPeer(network, 'numbers.test', (_, response) => sendJson(response, ok));
    const body = '{"pdus":[{"depth":9007199254740993,"x":1.50}]}';
    const path = '/_matrix/federation/v1/send/1';
    await us.fed.client.exchange(peer.name, { method: 'PUT', path, body }, jsonReply);
    expect(peer.requests[0]?.body).toBe(body);
  });

  test('use a connection again, and once more when it was closed meanwhile', async () => {
    await using peer = await startKeyedPeer(network, 'reuse.test', (_, response) => sendJson(response, ok));
    for (let round = 0; round < 3; round += 1) expect((await get(peer.name)).ok).toBe(true);
    expect(new Set(peer.requests.map(({ socket }) => socket)).size).toBe(1);
    let first = true;
    const { handle } = peer;
    peer.handle = (request, response) => {
      if (!first) return handle(request, response);
      first = false;
      response.destroy();
    };
    expect((await get(peer.name)).ok).toBe(true);
    expect(new Set(peer.requests.map(({ socket }) => socket)).size).toBe(2);
  });

  test('go through discovery, with the Host header, SNI and certificate of the delegated name', async () => {
    await using peer = await startPeer(network, ['delegated.test'], (_, response) => sendJson(response, ok));
    await using website = await startPeer(network, ['site.test', 'www.site.test'], (request, response) => {
      if (request.headers.host === 'site.test')
        response.writeHead(301, { Location: 'https://www.site.test/here?x=1' }).end();
      else if (request.url === '/here?x=1') sendJson(response, { 'm.server': 'delegated.test' });
      else response.writeHead(404).end();
    });
    for (const host of ['site.test', 'www.site.test']) network.hosts.set(host, ['127.0.0.2']);
    network.ports.set('127.0.0.2 443', website.port);
    network.records.set('_matrix-fed._tcp.delegated.test', [
      { name: 'machine.test', port: 10_443, priority: 0, weight: 0 },
    ]);
    network.hosts.set('machine.test', ['127.0.0.3', '127.0.0.4']);
    network.ports.set('127.0.0.3 10443', 1);
    network.ports.set('127.0.0.4 10443', peer.port);
    network.log.length = 0;
    const reply = await get('site.test' as ServerName);
    expect(reply).toEqual({ ok: true, value: ok });
    expect(peer.requests[0]).toMatchObject({ sni: 'delegated.test' });
    expect(peer.requests[0]?.headers.host).toBe('delegated.test');
    // Every address of the name is tried in turn.
    expect(network.log.filter((line) => line.startsWith('dial'))).toEqual([
      'dial 127.0.0.2 443',
      'dial 127.0.0.2 443',
      'dial 127.0.0.3 10443',
      'dial 127.0.0.4 10443',
    ]);
    // The well-known file is remembered.
    await get('site.test' as ServerName);
    expect(website.requests).toHaveLength(2);
  });

  test('reach addresses without SNI, by a certificate for the address', async () => {
    await using peer = await startPeer(network, ['127.0.0.1'], (_, response) => sendJson(response, ok));
    const reply = await get(`127.0.0.1:${peer.port}` as ServerName);
    expect(reply.ok).toBe(true);
    expect(peer.requests[0]?.sni).not.toBe('127.0.0.1');
    expect(peer.requests[0]?.headers.host).toBe(`127.0.0.1:${peer.port}`);
  });

  test('reach IPv6 addresses', async () => {
    await using peer = await startPeer(network, ['::1'], (_, response) => sendJson(response, ok), '::1');
    const reply = await get(`[::1]:${peer.port}` as ServerName);
    expect(reply).toEqual({ ok: true, value: ok });
  });

  test('are not sent to who has a certificate for another name', async () => {
    await using peer = await startPeer(network, ['other.test'], (_, response) => sendJson(response, ok));
    network.hosts.set('wrong.test', ['127.0.0.1']);
    const reply = await get(`wrong.test:${peer.port}` as ServerName);
    expect(reply).toMatchObject({ ok: false, error: { kind: 'unreachable' } });
    expect(peer.requests).toHaveLength(0);
  });

  test('are not sent to addresses that are not permitted, and those are not even dialled', async () => {
    network.hosts.set('inner.test', ['10.1.2.3', '169.254.169.254']);
    network.log.length = 0;
    const reply = await get('inner.test:9999' as ServerName);
    expect(reply).toMatchObject({ ok: false, error: { kind: 'unreachable' } });
    expect(network.log).toEqual(['addresses inner.test']);
  });

  test('are not sent to ourselves, nor to servers that the lists forbid', async () => {
    const config = { allowServers: ['*.good.test', 'exact.test:1'], denyServers: ['bad.good.test'] };
    await using listed = await startFed(network, { config });
    const kindOf = async (server: string): Promise<string> => {
      const reply = await listed.fed.client.exchange(server as ServerName, target, jsonReply);
      return reply.ok ? 'ok' : reply.error.kind;
    };
    expect(await kindOf('us.test')).toBe('denied');
    expect(await kindOf('bad.good.test')).toBe('denied');
    expect(await kindOf('BAD.good.test:5')).toBe('denied');
    expect(await kindOf('else.test')).toBe('denied');
    expect(await kindOf('a.good.test:5')).toBe('unreachable');
    expect(await kindOf('exact.test:1')).toBe('unreachable');
  });

  test('end as aborted with their caller, and in time when nobody answers', async () => {
    await using peer = await startKeyedPeer(network, 'slow.test', () => undefined);
    const controller = new AbortController();
    const aborted = get(peer.name, { signal: controller.signal });
    const late = get(peer.name, { timeoutMs: 100 });
    expect(await late).toMatchObject({ ok: false, error: { kind: 'timeout' } });
    controller.abort();
    expect(await aborted).toMatchObject({ ok: false, error: { kind: 'aborted' } });
  });
});

describe('answers of other servers', () => {
  test('that are errors come with their code, message and wait', async () => {
    await using peer = await startKeyedPeer(network, 'errors.test', (_, response) =>
      sendJson(response, { errcode: 'M_LIMIT_EXCEEDED', error: 'slower', retry_after_ms: 7 }, 429),
    );
    expect(await get(peer.name)).toMatchObject({
      ok: false,
      error: { kind: 'http', status: 429, errcode: 'M_LIMIT_EXCEEDED', message: 'slower', retryAfterMs: 7 },
    });
  });

  test('that never end are cut at the limit', async () => {
    let sent = 0;
    await using peer = await startKeyedPeer(network, 'endless.test', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const more = (): void => {
        while (!response.destroyed && response.write('{"a":'.repeat(1000))) sent += 5000;
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    expect(await get(peer.name, { maxBytes: 100_000 })).toMatchObject({ ok: false, error: { kind: 'bad-reply' } });
    expect(sent).toBeLessThan(50_000_000);
  });

  test('that are announced as too large are not read', async () => {
    await using peer = await startKeyedPeer(network, 'announced.test', (_, response) => {
      response.writeHead(200, { 'Content-Length': '1000000' }).write('{');
    });
    expect(await get(peer.name, { maxBytes: 1000 })).toMatchObject({ ok: false, error: { kind: 'bad-reply' } });
  });

  test('that break off are no answers', async () => {
    await using peer = await startKeyedPeer(network, 'truncated.test', (_, response) => {
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('{"a":1}', () => response.destroy());
    });
    expect(await get(peer.name)).toMatchObject({ ok: false, error: { kind: 'unreachable' } });
  });

  test('that trickle are bounded in time', async () => {
    await using peer = await startKeyedPeer(network, 'trickle.test', (_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(' '), 10);
      response.on('close', () => clearInterval(timer));
    });
    expect(await get(peer.name, { timeoutMs: 200 })).toMatchObject({ ok: false, error: { kind: 'timeout' } });
  });

  test.each(['', 'null', '[]', '{"a":', '<html>'])('that are %j instead of an object are refused', async (text) => {
    await using peer = await startKeyedPeer(network, 'junk.test', (_, response) => void response.end(text));
    expect(await get(peer.name)).toMatchObject({ ok: false, error: { kind: 'bad-reply' } });
  });

  test('that redirect are not followed', async () => {
    await using peer = await startKeyedPeer(
      network,
      'moved.test',
      (_, response) => void response.writeHead(302, { Location: 'https://127.0.0.1/' }).end(),
    );
    expect(await get(peer.name)).toMatchObject({ ok: false, error: { kind: 'http', status: 302 } });
  });
});

describe('servers that do not answer', () => {
  test('are left alone for a growing while, and tried at once after they contact us', async () => {
    const clock = new FakeClock();
    await using own = await startFed(network, { clock });
    const { client, destinations } = own.fed;
    const server = 'dead.test:1234' as ServerName;
    const attempt = async (): Promise<string> => {
      const reply = await client.exchange(server, target, jsonReply);
      return reply.ok ? 'ok' : reply.error.kind;
    };
    expect(await attempt()).toBe('unreachable');
    expect(await attempt()).toBe('backing-off');
    const started = clock.now();
    const pauses: number[] = [];
    while (clock.now() - started < 8 * 3_600_000) {
      const wait = destinations.retryAt(server) - clock.now();
      pauses.push(wait);
      clock.advance(wait);
      expect(await attempt()).toBe('unreachable');
    }
    expect(pauses[0]).toBeLessThanOrEqual(2000);
    let passed = 0;
    for (const pause of pauses) {
      expect(pause).toBeLessThanOrEqual(passed < 600_000 ? 30_000 : 3_600_000);
      passed += pause;
    }
    expect(pauses.at(-1)).toBeGreaterThan(40 * 60_000);
    const reachable: string[] = [];
    destinations.onReachable((name) => reachable.push(name));
    destinations.contacted(server);
    expect(reachable).toEqual([server]);
    expect(destinations.retryAt(server)).toBe(0);
    expect(await attempt()).toBe('unreachable');
    expect(destinations.retryAt(server) - clock.now()).toBeLessThanOrEqual(2000);
  });

  test('are known as such after a restart, and tried at once', async () => {
    const clock = new FakeClock();
    await using own = await startFed(network, { clock });
    const server = 'gone.test:1234' as ServerName;
    for (let round = 0; round < 6; round += 1) {
      await own.fed.client.exchange(server, { ...target, ignoreBackoff: true }, jsonReply);
      clock.advance(60_000);
    }
    await own.db.write(() => undefined);
    await using again = await startFed(network, { clock, db: own.db });
    const { destinations } = again.fed;
    expect(destinations.retryAt(server)).toBe(0);
    expect(destinations.failing(server)?.since).toBe(own.fed.destinations.failing(server)?.since);
    await again.fed.client.exchange(server, target, jsonReply);
    expect(destinations.retryAt(server) - clock.now()).toBeGreaterThan(10_000);
  });

  test('count as failing when a gateway answers in their place, until they answer', async () => {
    let status = 502;
    await using peer = await startKeyedPeer(network, 'gateway.test', (_, response) => sendJson(response, ok, status));
    await get(peer.name);
    expect(us.fed.destinations.failing(peer.name)).toBeDefined();
    status = 404;
    await get(peer.name);
    expect(us.fed.destinations.failing(peer.name)).toBeUndefined();
  });
});
