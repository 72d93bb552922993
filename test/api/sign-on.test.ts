/** Single sign-on by CAS, and the captcha of registration, each with a service of the test's own. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { casUser, mappedLocalpart } from '../../src/userapi/index.ts';
import { testConfig } from '../support/http.ts';
import { password, register, startUserServer, v3 } from '../support/userapi.ts';

async function startService(answer: (url: URL, body: string) => string) {
  const asked: URL[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const url = new URL(request.url ?? '', 'http://x');
      asked.push(url);
      response.end(answer(url, Buffer.concat(pieces).toString()));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const success = (user: string): string =>
  `<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas"><cas:authenticationSuccess><cas:user>${user}</cas:user>` +
  '<cas:attributes><cas:user>root</cas:user></cas:attributes></cas:authenticationSuccess></cas:serviceResponse>';
const startCas = () => startService((url) => success(url.searchParams.get('ticket') ?? ''));
const ticket = '/_matrix/client/r0/login/cas/ticket';

describe('single sign-on', () => {
  test('is answered with 404 when there is none', async () => {
    await using server = await startUserServer();
    for (const path of ['login/sso/redirect', 'login/sso/redirect/cas', 'login/cas/redirect']) {
      const { status, json } = await server.client.get(`${v3}/${path}?redirectUrl=https://client.example`);
      expect([path, status, json.errcode]).toEqual([path, 404, 'M_NOT_FOUND']);
    }
    expect(JSON.stringify((await server.client.get(`${v3}/login`)).json)).not.toContain('sso');
  });

  test('by the OAuth 2.0 API is not offered, in the words that send clients to the other way', async () => {
    await using server = await startUserServer();
    for (const path of ['v1/auth_metadata', 'unstable/org.matrix.msc2965/auth_metadata']) {
      const { status, json } = await server.client.get(`/_matrix/client/${path}`);
      expect([path, status, json.errcode]).toEqual([path, 404, 'M_UNRECOGNIZED']);
    }
  });

  test('sends the browser to CAS and back, asks, and gives a token', async () => {
    await using cas = await startCas();
    await using server = await startUserServer({ cas: { ...testConfig().cas, serverUrl: `${cas.url}/cas/` } });
    const { client } = server;
    const { flows } = (await client.get(`${v3}/login`)).json;
    expect(flows).toContainEqual({ type: 'm.login.cas' });
    expect(flows).toContainEqual({ type: 'm.login.sso', identity_providers: [{ id: 'cas', name: 'Single sign-on' }] });
    const target = 'https://client.example/?a=1&loginToken=old';
    const start = await fetch(`${server.url}${v3}/login/sso/redirect/cas?redirectUrl=${encodeURIComponent(target)}`, {
      redirect: 'manual',
    });
    const location = new URL(start.headers.get('location') ?? '');
    expect([start.status, location.pathname]).toEqual([302, '/cas/login']);
    expect((await client.get(`${v3}/login/sso/redirect/other?redirectUrl=https://client.example`)).status).toBe(404);
    for (const bad of ['javascript:alert(1)', 'nothing', 'data:text/html,x']) {
      const refused = await client.get(`${v3}/login/sso/redirect?redirectUrl=${encodeURIComponent(bad)}`);
      expect([refused.status, refused.json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
    }

    const service = new URL(location.searchParams.get('service') ?? '');
    const back = await client.get(`${service.pathname}${service.search}&ticket=Bob!`);
    expect(cas.asked.at(-1)?.pathname).toBe('/cas/proxyValidate');
    expect(cas.asked.at(-1)?.searchParams.get('service')).toBe(service.href);
    expect(back.text).toContain('client.example');
    const token = /loginToken=([^&#"]+)/.exec(back.text)?.[1];
    expect(back.text).not.toContain('loginToken=old');
    const session = await client.post(`${v3}/login`, { type: 'm.login.token', token });
    expect(session.json.user_id).toBe('@bob=21:localhost');
    expect((await client.post(`${v3}/login`, { type: 'm.login.token', token })).status).toBe(403);
    // Nobody logs in to such an account by password, and it confirms by sign-on alone.
    const path = `${v3}/devices/${session.json.device_id}`;
    expect((await client.delete(path, session.json.access_token, {})).json.flows).toEqual([
      { stages: ['m.login.sso'] },
    ]);
    expect((await client.get(`${ticket}?redirectUrl=https://client.example&ticket=`)).status).toBe(403);
  });

  test('goes straight back to clients that the operator trusts, with a token of five seconds', async () => {
    await using cas = await startCas();
    const trustedClients = ['https://client.example/app'];
    await using server = await startUserServer({ cas: { ...testConfig().cas, serverUrl: cas.url, trustedClients } });
    const go = async (target: string) =>
      fetch(`${server.url}${ticket}?redirectUrl=${encodeURIComponent(target)}&ticket=amy`, { redirect: 'manual' });
    expect((await go('https://client.example/app/x')).status).toBe(302);
    expect((await go('https://client.example/application')).status).toBe(200);
    expect((await go('https://client.example.evil.example/app')).status).toBe(200);
    const location = (await go('https://client.example/app')).headers.get('location') ?? '';
    const token = new URL(location).searchParams.get('loginToken');
    server.clock.advance(5001);
    expect((await server.client.post(`${v3}/login`, { type: 'm.login.token', token })).status).toBe(403);
  });

  test('confirms operations of its own user and of nobody else', async () => {
    await using cas = await startCas();
    await using server = await startUserServer({ cas: { ...testConfig().cas, serverUrl: cas.url } });
    const { client } = server;
    const alice = await register(client, 'alice');
    const path = `${v3}/devices/${alice.deviceId}`;
    const begin = async (): Promise<string> => (await client.delete(path, alice.token, {})).json.session;
    const end = (session: string, more: object = {}) =>
      client.delete(path, alice.token, { auth: { session, ...more } });

    const wrong = await begin();
    expect((await client.get(`${ticket}?session=${wrong}&ticket=mallory`)).status).toBe(200);
    expect((await end(wrong)).status).toBe(403);
    const session = await begin();
    // A client's own word is no sign-on.
    expect((await end(session, { type: 'm.login.sso', userId: alice.userId })).status).toBe(401);
    const page = await client.get(`${v3}/auth/m.login.sso/fallback/web?session=${session}`);
    expect(page.text).toContain(`${cas.url}/login?service=`);
    const done = await client.get(`${ticket}?session=${session}&ticket=alice`);
    expect(done.text).toContain('authDone');
    expect((await end(session)).status).toBe(200);
  });

  test('reads the user of an answer, and takes no other element for it', () => {
    expect(casUser(success('a&amp;b'))).toBe('a&b');
    expect(casUser(success(' '))).toBeUndefined();
    expect(
      casUser('<cas:serviceResponse><cas:authenticationFailure>no</cas:authenticationFailure></cas:serviceResponse>'),
    ).toBeUndefined();
    expect(casUser('<authenticationSuccess><user>a</user></authenticationSuccess>')).toBeUndefined();
    expect(casUser(success('a</cas:user><cas:user>b'))).toBeUndefined();
    expect(casUser('not xml')).toBeUndefined();
    expect(mappedLocalpart('Cas_User!=á')).toBe('cas_user=21=3d=c3=a1');
  });
});

describe('a captcha', () => {
  test('is demanded where the operator wants it, and its solution checked with the service', async () => {
    const form = { secret: 'private', response: 'right' };
    await using service = await startService((_url, body) =>
      JSON.stringify({ success: body === new URLSearchParams(form).toString() }),
    );
    const { recaptcha, registration } = testConfig();
    await using server = await startUserServer({
      recaptcha: { ...recaptcha, publicKey: 'public', privateKey: 'private', verifyUrl: service.url },
      registration: { ...registration, mode: 'open', requireCaptcha: true },
    });
    const { client } = server;
    const first = await client.post(`${v3}/register`, { username: 'alice', password });
    expect(first.json.flows).toEqual([{ stages: ['m.login.recaptcha'] }]);
    expect(first.json.params).toEqual({ 'm.login.recaptcha': { public_key: 'public' } });
    const { session } = first.json;
    const attempt = (response?: string) =>
      client.post(`${v3}/register`, { auth: { type: 'm.login.recaptcha', session, response } });
    expect((await attempt()).json.errcode).toBe('M_CAPTCHA_NEEDED');
    expect((await attempt('wrong')).json.errcode).toBe('M_CAPTCHA_INVALID');
    const page = await client.get(`${v3}/auth/m.login.recaptcha/fallback/web?session=${session}`);
    expect(page.text).toContain('data-sitekey="public"');
    expect((await attempt('right')).json.user_id).toBe('@alice:localhost');
  });
});
