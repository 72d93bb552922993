/** E-mail addresses: proving them, registering and resetting a password with them, identity servers, invites by mail. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Config } from '../../src/config/index.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signJson } from '../../src/matrix/signing.ts';
import { encodeBase64 } from '../../src/util/bytes.ts';
import { testConfig, type TestClient, type TestResponse } from '../support/http.ts';
import { startMailServer, type TestMailServer } from '../support/mail-server.ts';
import { makeTestCa } from '../support/tls.ts';
import { login, openRoom, password, register, startUserServer, v3 } from '../support/userapi.ts';

const secret = 'client.secret=1';
const outcome = ({ status, json }: TestResponse): [number, unknown] => [status, json?.errcode];
const mailConfig = ({ port }: TestMailServer): Pick<Config, 'mail'> => ({
  mail: { ...testConfig().mail, host: '127.0.0.1', port, tls: 'never', from: 'noreply@example.org' },
});

/** Path and query of the link in a mail. */
function linkIn(source: string): string {
  const plain = source.replaceAll('=\n', '').replaceAll('=3D', '=');
  const url = /http\S+submit_token\?\S+/.exec(plain)?.[0];
  if (url === undefined) throw new Error(`no link in ${source}`);
  const { pathname, search } = new URL(url);
  return pathname + search;
}

const ask = (client: TestClient, place: string, email: string, attempt = 1) =>
  client.post(`${v3}/${place}/email/requestToken`, { client_secret: secret, email, send_attempt: attempt });

describe('a proven e-mail address', () => {
  test('is added to the account behind the password, logs in, and can be taken away', async () => {
    await using mail = await startMailServer();
    await using server = await startUserServer(mailConfig(mail));
    const { client } = server;
    const alice = await register(client, 'alice');
    const { json } = await ask(client, 'account/3pid', 'Alice@Example.org');
    const creds = { sid: json.sid, client_secret: secret };
    const add = (auth?: object) => client.post(`${v3}/account/3pid/add`, { ...creds, auth }, alice.token);
    const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password };
    expect((await add()).json.flows).toEqual([{ stages: ['m.login.password'] }]);
    expect(outcome(await add(auth))).toEqual([400, 'M_THREEPID_AUTH_FAILED']);

    const [taken] = await mail.taken(1);
    expect(taken?.to).toBe('Alice@example.org');
    const link = linkIn(taken?.source ?? '');
    expect((await client.get(link.replace(/token=\w{3}/, 'token=xxx'))).status).toBe(400);
    expect((await client.get(link)).text).toContain('confirmed');
    expect((await add(auth)).status).toBe(200);
    const { threepids } = (await client.get(`${v3}/account/3pid`, alice.token)).json;
    expect(threepids).toMatchObject([{ medium: 'email', address: 'alice@example.org' }]);

    const identifier = { type: 'm.id.thirdparty', medium: 'email', address: 'ALICE@example.org' };
    expect((await client.post(`${v3}/login`, { type: 'm.login.password', identifier, password })).status).toBe(200);
    expect(outcome(await ask(client, 'register', 'alice@example.org'))).toEqual([400, 'M_THREEPID_IN_USE']);
    // A session is used once.
    expect(outcome(await add(auth))).toEqual([400, 'M_THREEPID_AUTH_FAILED']);

    const gone = await client.post(
      `${v3}/account/3pid/delete`,
      { medium: 'email', address: 'alice@example.org' },
      alice.token,
    );
    expect(gone.json).toEqual({ id_server_unbind_result: 'no-support' });
    expect((await client.get(`${v3}/account/3pid`, alice.token)).json).toEqual({ threepids: [] });
  });

  test('registers, and later sets a new password after a click on a page', async () => {
    await using mail = await startMailServer();
    await using server = await startUserServer(mailConfig(mail));
    const { client } = server;
    const flows = (await client.post(`${v3}/register`, { username: 'bob', password })).json.flows;
    expect(flows).toEqual([{ stages: ['m.login.dummy'] }, { stages: ['m.login.email.identity'] }]);
    const { sid } = (await ask(client, 'register', 'bob@example.org')).json;
    const email = (id: string) => ({
      type: 'm.login.email.identity',
      threepid_creds: { sid: id, client_secret: secret },
    });
    const early = await client.post(`${v3}/register`, { username: 'bob', password, auth: email(sid) });
    expect(outcome(early)).toEqual([401, 'M_THREEPID_AUTH_FAILED']);
    await client.get(linkIn((await mail.taken(1))[0]?.source ?? ''));
    const made = await client.post(`${v3}/register`, { username: 'bob', password, auth: email(sid) });
    expect(made.json.user_id).toBe('@bob:localhost');

    expect(outcome(await ask(client, 'account/password', 'nobody@example.org'))).toEqual([400, 'M_THREEPID_NOT_FOUND']);
    const reset = (await ask(client, 'account/password', 'bob@example.org')).json.sid;
    const change = () => client.post(`${v3}/account/password`, { new_password: 'another horse', auth: email(reset) });
    const link = linkIn((await mail.taken(2))[1]?.source ?? '');
    expect((await client.get(link)).text).toContain('<form method="post"');
    expect((await change()).status).toBe(401);
    const [path = '', form = ''] = link.split('?');
    expect((await client.post(path, form)).text).toContain('confirmed');
    expect((await change()).status).toBe(200);
    expect((await client.get(`${v3}/account/whoami`, made.json.access_token)).status).toBe(401);
    await expect(login(client, 'bob', 'NEW')).rejects.toThrow('M_FORBIDDEN');
    expect((await change()).status).toBe(401);
  });

  test('gets one mail for each attempt, and the browser goes where the client wishes', async () => {
    await using mail = await startMailServer();
    await using server = await startUserServer(mailConfig(mail));
    const { client } = server;
    const body = { client_secret: secret, email: 'carol@example.org', send_attempt: 1 };
    const path = `${v3}/register/email/requestToken`;
    const wish = (more: object) => client.post(path, { ...body, ...more });
    expect(outcome(await wish({ next_link: 'javascript:alert(1)' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await wish({ email: 'no address' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(outcome(await wish({ client_secret: 'a b' }))).toEqual([400, 'M_INVALID_PARAM']);
    const first = await wish({});
    expect((await wish({})).json).toEqual(first.json);
    expect((await wish({ send_attempt: 2, next_link: 'https://client.example/next' })).json).toEqual(first.json);
    const [old, latest] = await mail.taken(2);
    expect(mail.mails).toHaveLength(2);
    expect((await client.get(linkIn(old?.source ?? ''))).status).toBe(400);
    const query = new URLSearchParams(linkIn(latest?.source ?? '').split('?')[1]);
    const submit = (more: object) =>
      client.post(linkIn(latest?.source ?? '').split('?')[0] ?? '', { ...Object.fromEntries(query), ...more });
    expect(outcome(await submit({ token: 'wrong' }))).toEqual([400, 'M_TOKEN_INCORRECT']);
    expect(outcome(await submit({ sid: 'other' }))).toEqual([400, 'M_NO_VALID_SESSION']);
    expect((await submit({})).json).toEqual({ success: true });
    const response = await fetch(server.url + linkIn(latest?.source ?? ''), { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, 'https://client.example/next']);
    server.clock.advance(86_400_001);
    expect(outcome(await submit({}))).toEqual([400, 'M_SESSION_EXPIRED']);
  });

  test('is not to be had without a mail server, and phones not at all', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const none = [400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED'];
    expect(outcome(await ask(client, 'register', 'a@example.org'))).toEqual(none);
    const phone = { client_secret: secret, country: 'GB', phone_number: '07700900001', send_attempt: 1 };
    for (const place of ['register', 'account/password', 'account/3pid']) {
      expect(outcome(await client.post(`${v3}/${place}/msisdn/requestToken`, phone))).toEqual(none);
    }
  });

  test('a mail server that refuses is told, and the attempt may be repeated', async () => {
    await using mail = await startMailServer();
    await using server = await startUserServer(mailConfig(mail));
    mail.refuse('550 no such user');
    expect(outcome(await ask(server.client, 'register', 'd@example.org'))).toEqual([500, 'M_EMAIL_SEND_ERROR']);
    expect((await ask(server.client, 'register', 'd@example.org')).status).toBe(200);
    await mail.taken(1);
  });
});

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
