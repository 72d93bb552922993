/** E-mail addresses: proving them, registering and resetting a password with them. */
import { describe, expect, test } from '@jest/globals';
import type { Config } from '../../src/config/index.ts';
import { testConfig, type TestClient, type TestResponse } from '../support/http.ts';
import { startMailServer, type TestMailServer } from '../support/mail-server.ts';
import { login, password, register, startUserServer, v3 } from '../support/userapi.ts';

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
