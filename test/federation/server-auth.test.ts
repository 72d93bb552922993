import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as v from 'valibot';
import { route } from '../../src/http/index.ts';
import { keyServerRoutes } from '../../src/federation/index.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { verifyJson } from '../../src/matrix/signing.ts';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import { requestContent, signRequest } from '../../src/matrix/xmatrix.ts';
import { systemClock } from '../../src/util/clock.ts';
import { keyFetches, startFed, startKeyedPeer, testSigningKey, TestNetwork } from '../support/federation.ts';
import type { KeyedPeer, TestFed } from '../support/federation.ts';
import { startTestServer, testConfig, type TestServer } from '../support/http.ts';

const echo = [
  route({
    method: 'PUT',
    path: '/_matrix/federation/v1/echo/:id',
    auth: 'server',
    rate: 'federation',
    body: v.looseObject({}),
    handle: ({ origin, params, body, bodyText }) => ({ origin, id: params.id, body, bodyText }),
  }),
  route({
    method: 'GET',
    path: '/_matrix/federation/v1/echo/:id',
    auth: 'server',
    rate: 'federation',
    handle: ({ origin, params }) => ({ origin, id: params.id }),
  }),
];

let network: TestNetwork;
let peer: KeyedPeer;
let us: TestFed;
let server: TestServer;

beforeAll(async () => {
  network = new TestNetwork();
  peer = await startKeyedPeer(network, 'peer.test');
  us = await startFed(network, { config: { denyServers: ['denied.test'] } });
  const routes = [...echo, ...keyServerRoutes({ ...us.fed, version: '1.2.3', clock: systemClock })];
  server = await startTestServer(routes, { servers: us.fed.authenticator, db: us.db });
});
afterAll(async () => {
  await server.stop();
  await us[Symbol.asyncDispose]();
  await peer[Symbol.asyncDispose]();
});

interface Sent {
  readonly method?: string;
  readonly uri?: string;
  readonly body?: string;
  readonly authorization?: string | string[];
}

/** Sends bytes as they are: `fetch` would change the target. */
function send({ method = 'PUT', uri = '/_matrix/federation/v1/echo/1', body, authorization }: Sent) {
  const { hostname, port } = new URL(server.url);
  return new Promise<{ status: number; json: JsonObject }>((resolve, reject) => {
    const outgoing = httpRequest({ hostname, port, method, path: uri }, (incoming) => {
      const pieces: Buffer[] = [];
      incoming.on('data', (piece: Buffer) => pieces.push(piece));
      incoming.on('end', () => {
        const json = JSON.parse(Buffer.concat(pieces).toString()) as JsonObject;
        resolve({ status: incoming.statusCode ?? 0, json });
      });
    });
    outgoing.on('error', reject);
    if (authorization !== undefined) outgoing.setHeader('Authorization', authorization);
    outgoing.end(body);
  });
}

const sign = (
  { method = 'PUT', uri = '/_matrix/federation/v1/echo/1', body }: Sent,
  { destination = 'us.test', key = peer.keys.signing, origin = peer.name } = {} as {
    destination?: string | undefined;
    key?: KeyedPeer['keys']['signing'];
    origin?: ServerName;
  },
): string => {
  const content = body === undefined ? undefined : requestContent(JSON.parse(body) as JsonObject);
  return signRequest({ method, uri, origin, destination, content }, key.keyId, key.key);
};

describe('requests of other servers', () => {
  test('are let in with the signature of their origin, and hand on the raw body', async () => {
    const sent = { body: '{ "b": 1, "a": [ {"x": "y"} ] }' };
    const answer = await send({ ...sent, authorization: sign(sent) });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ origin: peer.name, id: '1', body: { b: 1, a: [{ x: 'y' }] }, bodyText: sent.body });
  });

  test('are verified over the request target as it came, byte for byte', async () => {
    const uri = '/_matrix/federation/v1/echo/%41%2fb?x=%7e&y=a+b&&z';
    const answer = await send({ method: 'GET', uri, authorization: sign({ method: 'GET', uri }) });
    expect(answer.json).toEqual({ origin: peer.name, id: 'A/b' });
    const other = uri.replace('%41', 'A');
    expect((await send({ method: 'GET', uri: other, authorization: sign({ method: 'GET', uri }) })).status).toBe(401);
  });

  test('may hold numbers that no double can', async () => {
    const body = '{"depth":9007199254740993,"f":1.50}';
    const content = '{"depth":9007199254740993,"f":1.50}';
    const { keyId, key } = peer.keys.signing;
    const signed = {
      method: 'PUT',
      uri: '/_matrix/federation/v1/echo/1',
      origin: peer.name,
      destination: 'us.test',
      content,
    };
    const answer = await send({ body, authorization: signRequest(signed, keyId, key) });
    expect(answer.status).toBe(200);
    expect(answer.json.bodyText).toBe(body);
  });

  test('are let in with one good header of several, and without a destination', async () => {
    const sent = { body: '{}' };
    const unknown = sign(sent, { key: testSigningKey('unknown') });
    expect((await send({ ...sent, authorization: [unknown, sign(sent)] })).status).toBe(200);
    const { keyId, key } = peer.keys.signing;
    const old = { method: 'PUT', uri: '/_matrix/federation/v1/echo/1', origin: peer.name, destination: undefined };
    expect((await send({ ...sent, authorization: signRequest({ ...old, content: '{}' }, keyId, key) })).status).toBe(
      200,
    );
  });

  test.each<[string, () => string | undefined]>([
    ['nothing', () => undefined],
    ['an access token', () => 'Bearer abc'],
    ['a signature for another server', () => sign({ body: '{}' }, { destination: 'other.test' })],
    ['a signature over another body', () => sign({ body: '{"a":1}' })],
    ['a signature over no body', () => sign({})],
    ['a key that the origin does not publish', () => sign({ body: '{}' }, { key: testSigningKey('mine') })],
    [
      'a key with a published id that is another',
      () => sign({ body: '{}' }, { key: { ...testSigningKey('x'), keyId: peer.keys.signing.keyId } }),
    ],
    ['an origin that cannot be asked', () => sign({ body: '{}' }, { origin: 'nowhere.test:1' as ServerName })],
  ])('are refused with 401 when they bring %s', async (_, header) => {
    const authorization = header();
    const answer = await send({ body: '{}', ...(authorization === undefined ? {} : { authorization }) });
    expect(answer).toMatchObject({ status: 401, json: { errcode: 'M_UNAUTHORIZED' } });
  });

  test.each([
    ['half a header', 'X-Matrix origin="peer.test"'],
    ['a name that no server can have', 'X-Matrix origin="peer.test:http",key="ed25519:1",sig="AAAA"'],
  ])('are refused with 400 when they bring %s', async (_, authorization) => {
    expect(await send({ body: '{}', authorization })).toMatchObject({ status: 400 });
  });

  test('are refused with 403 from servers that the operator denies, without asking them for keys', async () => {
    network.log.length = 0;
    const authorization = sign({ body: '{}' }, { origin: 'denied.test' as ServerName });
    expect((await send({ body: '{}', authorization })).status).toBe(403);
    expect(network.log).toEqual([]);
  });

  test('are limited by server', async () => {
    const rateLimits = testConfig().rateLimits;
    const config = { rateLimits: { ...rateLimits, federation: { perSecond: 0.001, burst: 2 } } };
    await using limited = await startTestServer(echo, { servers: us.fed.authenticator, db: us.db, config });
    const statuses: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const uri = '/_matrix/federation/v1/echo/1';
      const headers = { Authorization: sign({ method: 'GET', uri }) };
      statuses.push((await limited.client.request(uri, { headers })).status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });

  test('tell that a server which did not answer is there again', async () => {
    const { destinations } = us.fed;
    destinations.failed(peer.name, 'test');
    expect(destinations.retryAt(peer.name)).toBeGreaterThan(0);
    await send({ body: '{}', authorization: sign({ body: '{}' }) });
    expect(destinations.retryAt(peer.name)).toBe(0);
    destinations.succeeded(peer.name);
  });
});

describe('key endpoints', () => {
  const own = (document: JsonObject): boolean =>
    verifyJson(document, 'us.test', us.signingKey.keyId, us.signingKey.key.publicKey);

  test('publish our keys, signed, under both paths', async () => {
    for (const path of ['/_matrix/key/v2/server', '/_matrix/key/v2/server/', '/_matrix/key/v2/server/ed25519:x']) {
      const { status, json } = await server.client.get(path);
      expect(status).toBe(200);
      expect(json).toMatchObject({ server_name: 'us.test', old_verify_keys: {} });
      expect(Object.keys(json.verify_keys)).toEqual([us.signingKey.keyId]);
      expect(own(json)).toBe(true);
      const { signatures: _, ...signed } = json;
      expect(JSON.stringify(signed)).toBe(canonicalJson(signed));
    }
  });

  test("answer as a notary with the server's own signature and ours, from what was fetched before", async () => {
    await us.fed.keyRing.documents(peer.name, [], Date.now());
    const before = keyFetches(peer);
    const { json } = await server.client.get(`/_matrix/key/v2/query/${peer.name}`);
    expect(json.server_keys).toHaveLength(1);
    const [document] = json.server_keys;
    expect(own(document)).toBe(true);
    const { keyId, key } = peer.keys.signing;
    expect(verifyJson(document, peer.name, keyId, key.publicKey)).toBe(true);
    expect(keyFetches(peer)).toBe(before);
  });

  test('fetch again when the known document is not good for long enough', async () => {
    await using fresh = await startKeyedPeer(network, 'fresh.test');
    const path = `/_matrix/key/v2/query/${fresh.name}`;
    await server.client.get(path);
    await server.client.get(path);
    expect(keyFetches(fresh)).toBe(1);
    await us.fed.keyRing.idle();
    fresh.keys.validUntil = () => Date.now() + 3 * 86_400_000;
    const late = Date.now() + 2 * 86_400_000;
    const { json } = await server.client.get(`${path}?minimum_valid_until_ts=${late}`);
    expect(json.server_keys[0].valid_until_ts).toBeGreaterThan(late);
  });

  test('answer for many servers at a time, also for ours, and leave out who is not known', async () => {
    const body = {
      server_keys: { [peer.name]: { [peer.keys.signing.keyId]: {} }, 'us.test': {}, 'nowhere.test:1': {}, 'a b': {} },
    };
    const { json } = await server.client.post('/_matrix/key/v2/query', body);
    expect(json.server_keys.map((document: JsonObject) => document.server_name)).toEqual([peer.name, 'us.test']);
    expect((await server.client.post('/_matrix/key/v2/query', { server_keys: {} })).json).toEqual({ server_keys: [] });
    expect((await server.client.post('/_matrix/key/v2/query', {})).status).toBe(400);
  });

  test('serve the keys of a server that is gone', async () => {
    const gone = await startKeyedPeer(network, 'gone.test');
    await server.client.get(`/_matrix/key/v2/query/${gone.name}`);
    await gone[Symbol.asyncDispose]();
    const later = Date.now() + 30 * 86_400_000;
    const { json } = await server.client.get(`/_matrix/key/v2/query/${gone.name}?minimum_valid_until_ts=${later}`);
    expect(json.server_keys).toHaveLength(1);
  });

  test('name the software', async () => {
    const { json } = await server.client.get('/_matrix/federation/v1/version');
    expect(json).toEqual({ server: { name: 'Neurite', version: '1.2.3' } });
  });
});
