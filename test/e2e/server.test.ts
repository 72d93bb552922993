/** The server as its operator meets it: stopping, logs, metrics. */
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { registerAccount } from '../support/client.ts';
import { startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { useFolders } from '../support/folders.ts';

const v3 = '/_matrix/client/v3';

const folder = useFolders();

describe('stopping', () => {
  test('answers long polls with their own token, checkpoints the database and ends with 0 within 10 s', async () => {
    const data = folder();
    const server = await startServerProcess({ data });
    const alice = await registerAccount(server.baseUrl, 'alice');
    const roomId = await alice.createRoom();
    const { next_batch: since } = await alice.sync(undefined, 0);
    const polls = Array.from({ length: 20 }, () => alice.sync(since, 60_000));
    await parked(server, 20);
    const started = Date.now();
    const sending = alice.send(roomId, 't1', 'while it stops');
    const code = server.stop();
    const answers = await Promise.all(polls);
    for (const answer of answers) expect(Number(answer.next_batch)).toBeGreaterThanOrEqual(Number(since));
    expect(await code).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
    const wal = join(data, 'neurite.db-wal');
    expect(existsSync(wal) ? statSync(wal).size : 0).toBe(0);
    const sent = await sending.catch(() => undefined);

    // What was answered is there; a token from before goes on.
    const again = await startServerProcess({ data, port: server.port });
    const bodies = (await alice.history(roomId)).map(({ content }) => content['body']);
    if (sent?.status === 200) expect(bodies).toContain('while it stops');
    expect((await alice.sync(answers[0]?.next_batch, 0)).next_batch).toBeDefined();
    alice.close();
    expect(await again.stop()).toBe(0);
  }, 60_000);

  test('does not wait for a connection that says nothing', async () => {
    const server = await startServerProcess();
    const silent = connect(server.port, '127.0.0.1');
    await once(silent, 'connect');
    const halfway = connect(server.port, '127.0.0.1');
    halfway.write(`PUT ${v3}/rooms/x/send/m/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
    for (const socket of [silent, halfway]) socket.on('error', () => undefined);
    const started = Date.now();
    expect(await server.stop()).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
  }, 60_000);
});

/** Waits until so many syncs are parked. */
async function parked(server: ServerProcess, count: number): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${server.baseUrl}/metrics`)).text();
    if (Number(/^neurite_sync_parked (\d+)/m.exec(text)?.[1]) >= count) return;
    await new Promise((done) => setTimeout(done, 20));
  }
}

describe('the log and the metrics', () => {
  const secrets = {
    password: 'pass-w0rd-in-the-clear',
    newPassword: 'an0ther-pass-w0rd',
    text: 'the text of a message',
    state: 'a topic that nobody else should read',
    toDevice: 'a message to a device',
    data: 'account data of mine',
    shared: 'a shared secret',
    registration: 'a-registration-token',
  };
  let server: ServerProcess;
  let output = '';
  let metrics = '';
  const tokens: string[] = [];

  beforeAll(async () => {
    server = await startServerProcess({
      set: { 'log.level': 'debug', 'log.format': 'json', 'registration.shared_secret': secrets.shared },
    });
    const ask = async (
      method: string,
      path: string,
      body?: unknown,
      token?: string,
    ): Promise<Record<string, unknown>> => {
      const response = await fetch(server.baseUrl + path, {
        method,
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        ...(token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } }),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    const { password } = secrets;
    const user = { username: 'alice', password, auth: { type: 'm.login.dummy' }, refresh_token: true };
    const made = await ask('POST', `${v3}/register`, user);
    const identifier = { type: 'm.id.user', user: 'alice' };
    const login = await ask('POST', `${v3}/login`, { type: 'm.login.password', identifier, password });
    const token = String(login['access_token']);
    tokens.push(token, String(made['access_token']), String(made['refresh_token']));
    await ask('POST', `${v3}/login`, { type: 'm.login.password', identifier, password: secrets.newPassword });
    const { room_id: roomId } = await ask('POST', `${v3}/createRoom`, { topic: secrets.state }, token);
    const room = `${v3}/rooms/${encodeURIComponent(String(roomId))}`;
    await ask('PUT', `${room}/send/m.room.message/1?access_token=${token}`, { body: secrets.text });
    await ask('PUT', `${room}/send/m.room.message/2`, `{"body": "${secrets.text}`, token);
    await ask('PUT', `${room}/send/m.room.message/3`, { body: secrets.text, n: 1.5 }, token);
    await ask('GET', `${v3}/sync?access_token=${token}&timeout=x`);
    await ask('GET', `${v3}/sync?timeout=0&filter=${encodeURIComponent(`{"${secrets.text}`)}`, undefined, token);
    await ask('PUT', `${v3}/user/@alice:localhost/account_data/x`, { secret: secrets.data }, token);
    const messages = { '@alice:localhost': { '*': { text: secrets.toDevice } } };
    await ask('PUT', `${v3}/sendToDevice/x/1`, { messages }, token);
    await ask('GET', `/_matrix/client/v1/register/m.login.registration_token/validity?token=${secrets.registration}`);
    const auth = { type: 'm.login.password', identifier, password };
    await ask('POST', `${v3}/account/password`, { new_password: secrets.newPassword, auth }, token);
    const nonce = (await ask('GET', '/_synapse/admin/v1/register'))['nonce'];
    await ask('POST', '/_synapse/admin/v1/register', { nonce, username: 'bob', password, mac: '00' });
    await ask('POST', `${v3}/refresh`, { refresh_token: made['refresh_token'] });
    metrics = await (await fetch(`${server.baseUrl}/metrics`)).text();
    expect(await server.stop()).toBe(0);
    output = server.output();
  }, 60_000);

  test.each(Object.entries(secrets))('hold no secret: %s', (_name, secret) => {
    expect(output).not.toContain(secret);
    expect(metrics).not.toContain(secret);
  });

  test('hold no token, though each request is logged with its id and its route', () => {
    for (const token of tokens) {
      expect(token.length).toBeGreaterThan(10);
      expect(output).not.toContain(token);
    }
    const lines = output.split('\n').filter((line) => line.startsWith('{'));
    const requests = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'answered');
    expect(new Set(requests.map(({ request }) => request)).size).toBe(requests.length);
    expect(requests.map(({ method, path, status }) => `${String(method)} ${String(path)} ${String(status)}`)).toEqual(
      expect.arrayContaining([
        `POST ${v3}/login 200`,
        `POST ${v3}/login 403`,
        `PUT ${v3}/rooms/:roomId/send/:eventType/:txnId 200`,
        `PUT ${v3}/rooms/:roomId/send/:eventType/:txnId 400`,
      ]),
    );
  });

  test('metrics tell of requests, commits, group size, loop delay, caches and queues', () => {
    const names = new Set([...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    expect([...names]).toEqual(
      expect.arrayContaining([
        'neurite_http_requests_seconds',
        'neurite_commits_total',
        'neurite_commit_units_total',
        'neurite_commit_group_max',
        'neurite_fsyncs_total',
        'neurite_wal_bytes',
        'neurite_loop_delay_seconds',
        'neurite_write_queue',
        'neurite_sync_queue',
        'neurite_sync_parked',
        'neurite_room_cache_entries',
        'neurite_room_cache_bytes',
        'neurite_auth_cache_entries',
        'neurite_push_cache_entries',
        'neurite_sync_cache_entries',
        'process_resident_memory_bytes',
      ]),
    );
    expect(metrics).toMatch(/^neurite_room_cache_entries\{cache="events"\} [1-9]/m);
    expect(metrics).not.toContain('@alice');
  });
});
