import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { jsonReply } from '../../src/fedclient/reply.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { sendJson, startFed, startPeer, TestNetwork } from '../support/federation.ts';
import type { Peer, PeerHandler, TestFed } from '../support/federation.ts';

const minute = 60_000;
const hour = 60 * minute;

let network: TestNetwork;
let clock: FakeClock;
let site: Peer;
let matrix: Peer;
let us: TestFed;
let answer: PeerHandler;

beforeEach(async () => {
  network = new TestNetwork();
  clock = new FakeClock();
  site = await startPeer(network, ['site.test'], (request, response) => answer(request, response));
  matrix = await startPeer(network, ['matrix.test', 'site.test'], (_, response) => sendJson(response, {}));
  network.hosts.set('site.test', ['127.0.0.2']);
  network.hosts.set('matrix.test', ['127.0.0.3']);
  network.ports.set('127.0.0.2 443', site.port);
  // Without delegation the server is found at the name itself.
  network.ports.set('127.0.0.2 8448', matrix.port);
  network.ports.set('127.0.0.3 8448', matrix.port);
  us = await startFed(network, { clock });
});
afterEach(async () => {
  await us[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
  await matrix[Symbol.asyncDispose]();
});

/** The Host that a request ends up with. */
async function host(): Promise<string | undefined> {
  const request = { method: 'GET', path: '/x', ignoreBackoff: true } as const;
  await us.fed.client.exchange('site.test' as ServerName, request, jsonReply);
  return matrix.requests.at(-1)?.headers.host;
}

const delegate: PeerHandler = (_, response) => sendJson(response, { 'm.server': 'matrix.test' });

describe('well-known files of other servers', () => {
  test('count for 24 hours without cache headers, and are asked for once by many', async () => {
    answer = delegate;
    expect(await Promise.all([host(), host(), host()])).toEqual(['matrix.test', 'matrix.test', 'matrix.test']);
    clock.advance(24 * hour - 1);
    await host();
    expect(site.requests).toHaveLength(1);
    clock.advance(2);
    await host();
    expect(site.requests).toHaveLength(2);
  });

  test('count as long as their cache headers say', async () => {
    answer = (_, response) => {
      response.setHeader('Cache-Control', 'max-age=3600');
      sendJson(response, { 'm.server': 'matrix.test' });
    };
    await host();
    clock.advance(hour - 1);
    await host();
    expect(site.requests).toHaveLength(1);
    clock.advance(2);
    await host();
    expect(site.requests).toHaveLength(2);
  });

  test.each<[string, PeerHandler]>([
    ['is missing', (_, response) => void response.writeHead(404).end()],
    ['is no JSON', (_, response) => void response.end('<html>')],
    ['names nothing', (_, response) => sendJson(response, {})],
    ['names nonsense', (_, response) => sendJson(response, { 'm.server': 'a b' })],
    ['redirects in circles', (_, response) => void response.writeHead(302, { Location: '/again' }).end()],
    ['redirects to plain http', (_, response) => void response.writeHead(302, { Location: 'http://site.test/' }).end()],
    [
      'never ends',
      (_, response) => {
        response.writeHead(200);
        const more = (): void => {
          while (!response.destroyed && response.write(' '.repeat(10_000)));
          if (!response.destroyed) response.once('drain', more);
        };
        more();
      },
    ],
    ['breaks off', (_, response) => void response.writeHead(200).write('{', () => response.destroy())],
  ])('lead to the name itself when the file %s', async (_, handler) => {
    answer = handler;
    expect(await host()).toBe('site.test');
  });

  test('that fail are asked for again after pauses of up to an hour', async () => {
    answer = (_, response) => void response.writeHead(404).end();
    await host();
    clock.advance(2 * minute - 1);
    await host();
    expect(site.requests).toHaveLength(1);
    for (let passed = 0; passed < 24 * hour; passed += 10 * minute) {
      clock.advance(10 * minute);
      await host();
    }
    expect(site.requests.length).toBeGreaterThan(20);
    expect(site.requests.length).toBeLessThan(32);
  });

  test('survive that their host does not answer, but not that it has none any more', async () => {
    answer = delegate;
    await host();
    clock.advance(25 * hour);
    answer = (_, response) => void response.writeHead(503).end();
    expect(await host()).toBe('matrix.test');
    clock.advance(hour);
    answer = (_, response) => void response.writeHead(404).end();
    expect(await host()).toBe('site.test');
  });

  test('are asked for again when the server that they name does not answer', async () => {
    answer = delegate;
    await host();
    clock.advance(10 * minute);
    network.ports.set('127.0.0.3 8448', 1);
    matrix.server.closeAllConnections();
    const moved = await startPeer(network, ['moved.test'], (_, response) => sendJson(response, {}));
    network.hosts.set('moved.test', ['127.0.0.4']);
    network.ports.set('127.0.0.4 8448', moved.port);
    answer = (_, response) => sendJson(response, { 'm.server': 'moved.test' });
    await host();
    await host();
    expect(moved.requests).toHaveLength(1);
    await moved[Symbol.asyncDispose]();
  });
});
