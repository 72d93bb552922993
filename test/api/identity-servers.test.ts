/** Identity servers: bound addresses, invites by mail. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signJson } from '../../src/matrix/signing.ts';
import { encodeBase64 } from '../../src/util/bytes.ts';
import { testConfig, type TestResponse } from '../support/http.ts';
import { makeTestCa } from '../support/tls.ts';
import { openRoom, password, register, startUserServer, v3 } from '../support/userapi.ts';

const secret = 'client.secret=1';
const outcome = ({ status, json }: TestResponse): [number, unknown] => [status, json?.errcode];

/** An identity server that keeps bindings and invites, and says what was asked. */
async function startIdentityServer() {
  const key = keyPairFromSeed(new Uint8Array(32).fill(3));
  const bindings = new Map<string, string>();
  const asked: { path: string; body: JsonObject; authorization: string | undefined }[] = [];
  const state = { keysValid: true };
  const { createHash } = await import('node:crypto');
  const hash = (address: string) => createHash('sha256').update(`${address} email pepper`).digest('base64url');
  const answer = (path: string, body: JsonObject, url: string): [number, unknown] => {
    switch (path) {
      case '/hash_details':
        return [200, { lookup_pepper: 'pepper', algorithms: ['none', 'sha256'] }];
      case '/lookup': {
        const entries = [...bindings].map(([address, mxid]) => [hash(address), mxid] as const);
        const wanted = body['addresses'] as string[];
        return [200, { mappings: Object.fromEntries(entries.filter(([name]) => wanted.includes(name))) }];
      }
      case '/3pid/bind':
        if (body['sid'] !== 'good') return [404, { errcode: 'M_NO_VALID_SESSION', error: 'no session' }];
        bindings.set('alice@example.org', String(body['mxid']));
        return [200, { medium: 'email', address: 'alice@example.org', mxid: body['mxid'] }];
      case '/3pid/unbind':
        bindings.clear();
        return [200, {}];
      case '/store-invite': {
        const entry = { public_key: encodeBase64(key.publicKey), key_validity_url: `${url}/pubkey/isvalid` };
        return [200, { token: 'tok', display_name: 'a…@e…', public_keys: [entry], public_key: entry.public_key }];
      }
      case '/pubkey/isvalid':
        return [200, { valid: state.keysValid }];
      default:
        return [404, { errcode: 'M_UNRECOGNIZED', error: 'no' }];
    }
  };
  const server = createServer(ca.issue('localhost', '127.0.0.1'));
  server.on('request', (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const path = new URL(request.url ?? '', 'https://x').pathname.replace('/_matrix/identity/v2', '');
      const body = JSON.parse(Buffer.concat(pieces).toString() || '{}') as JsonObject;
      asked.push({ path, body, authorization: request.headers.authorization });
      const [status, json] = answer(path, body, `https://${name}/_matrix/identity/v2`);
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(json));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ name, key, bindings, asked, state },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const ca = makeTestCa();
const identity = { ...testConfig().identity, allowNetworks: ['127.0.0.0/8'] };
const before = getCACertificates('default');
beforeAll(() => setDefaultCACertificates([...before, ca.cert]));
afterAll(() => setDefaultCACertificates(before));

describe('identity servers', () => {
  test('bind in the user’s name, and are asked to forget by this server’s signature', async () => {
    await using id = await startIdentityServer();
    await using server = await startUserServer({ identity });
    const { client } = server;
    const alice = await register(client, 'alice');
    const body = { id_server: id.name, id_access_token: 'swordfish', client_secret: secret, sid: 'good' };
    const bind = (more: object) => client.post(`${v3}/account/3pid/bind`, { ...body, ...more }, alice.token);
    expect(outcome(await bind({ sid: 'bad' }))).toEqual([404, 'M_NO_VALID_SESSION']);
    expect(outcome(await bind({ id_server: 'a/b' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await bind({ id_server: '10.1.2.3' }))).toEqual([502, 'M_UNKNOWN']);
    expect((await bind({})).json).toEqual({});
    expect(id.bindings.get('alice@example.org')).toBe('@alice:localhost');
    expect(id.asked.at(-1)?.authorization).toBe('Bearer swordfish');
    const threepid = { medium: 'email', address: 'Alice@example.org' };
    const unbound = await client.post(`${v3}/account/3pid/unbind`, threepid, alice.token);
    expect(unbound.json).toEqual({ id_server_unbind_result: 'success' });
    expect(id.asked.at(-1)?.authorization).toMatch(
      /^X-Matrix origin="localhost",destination="127\.0\.0\.1:\d+",key="ed25519:/,
    );
    expect(id.asked.at(-1)?.body).toEqual({
      mxid: '@alice:localhost',
      threepid: { medium: 'email', address: 'alice@example.org' },
    });
    // Nothing is known any more.
    const again = await client.post(`${v3}/account/3pid/unbind`, threepid, alice.token);
    expect(again.json).toEqual({ id_server_unbind_result: 'no-support' });
  });

  test('are only those that the operator permits', async () => {
    await using server = await startUserServer({ identity: { ...identity, allowServers: ['id.example'] } });
    const alice = await register(server.client, 'alice');
    const body = { id_server: 'other.example', id_access_token: 't', client_secret: secret, sid: 'good' };
    const refused = await server.client.post(`${v3}/account/3pid/bind`, body, alice.token);
    expect(outcome(refused)).toEqual([400, 'M_SERVER_NOT_TRUSTED']);
  });

  test('closing an account unbinds what it had bound', async () => {
    await using id = await startIdentityServer();
    await using server = await startUserServer({ identity });
    const alice = await register(server.client, 'alice');
    const body = { id_server: id.name, id_access_token: 't', client_secret: secret, sid: 'good' };
    await server.client.post(`${v3}/account/3pid/bind`, body, alice.token);
    const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password };
    const closed = await server.client.post(`${v3}/account/deactivate`, { auth }, alice.token);
    expect(closed.json).toEqual({ id_server_unbind_result: 'success' });
    expect(id.bindings.size).toBe(0);
  });

  test('tell whom an address belongs to; others get an invite that waits for them', async () => {
    await using id = await startIdentityServer();
    await using server = await startUserServer({ identity });
    const { client } = server;
    const [alice, bob, eve] = await Promise.all(['alice', 'bob', 'eve'].map((name) => register(client, name)));
    if (alice === undefined || bob === undefined || eve === undefined) throw new Error('no users');
    const roomId = await openRoom(client, alice, eve);
    const room = `${v3}/rooms/${encodeURIComponent(roomId)}`;
    const wish = { id_server: id.name, id_access_token: 't', medium: 'email', address: 'Bob@example.org' };
    expect(outcome(await client.post(`${room}/invite`, wish, bob.token))).toEqual([403, 'M_FORBIDDEN']);
    expect(id.asked).toEqual([]);

    expect((await client.post(`${room}/invite`, wish, alice.token)).json).toEqual({});
    expect(id.asked.at(-1)).toMatchObject({
      path: '/store-invite',
      body: { medium: 'email', address: 'bob@example.org', room_id: roomId, sender: alice.userId },
    });
    const waiting = await client.get(`${room}/state/m.room.third_party_invite/tok`, alice.token);
    expect(waiting.json).toMatchObject({ display_name: 'a…@e…', public_keys: [{}] });

    const signed = signJson({ mxid: bob.userId, token: 'tok' }, id.name, 'ed25519:0', id.key);
    const invite = { medium: 'email', address: 'bob@example.org', room_id: roomId, sender: alice.userId };
    const bound = (more: object = {}) =>
      client.put('/_matrix/federation/v1/3pid/onbind', {
        ...{ medium: 'email', address: 'bob@example.org', mxid: bob.userId },
        invites: [{ ...invite, mxid: bob.userId, signed, ...more }],
      });
    id.state.keysValid = false;
    expect((await bound()).status).toBe(403);
    id.state.keysValid = true;
    expect((await bound({ signed: { ...signed, token: 'other' } })).status).toBe(403);
    expect((await bound({ sender: eve.userId })).status).toBe(403);
    expect((await bound()).json).toEqual({});
    const member = await client.get(`${room}/state/m.room.member/${bob.userId}`, alice.token);
    expect(member.json).toMatchObject({ membership: 'invite', third_party_invite: { display_name: 'a…@e…' } });
  });

  test('createRoom invites by address, too', async () => {
    await using id = await startIdentityServer();
    await using server = await startUserServer({ identity });
    const { client } = server;
    const alice = await register(client, 'alice');
    const bob = await register(client, 'bob');
    id.bindings.set('bob@example.org', bob.userId);
    const wish = { id_server: id.name, id_access_token: 't', medium: 'email' };
    const made = await client.post(
      `${v3}/createRoom`,
      {
        invite_3pid: [
          { ...wish, address: 'bob@example.org' },
          { ...wish, address: 'new@example.org' },
        ],
      },
      alice.token,
    );
    const room = `${v3}/rooms/${encodeURIComponent(made.json.room_id)}`;
    const member = await client.get(`${room}/state/m.room.member/${bob.userId}`, alice.token);
    expect(member.json.membership).toBe('invite');
    expect((await client.get(`${room}/state/m.room.third_party_invite/tok`, alice.token)).status).toBe(200);
  });
});
