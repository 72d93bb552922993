/** The server as its operator meets it: command line, running and stopping, logs, metrics. */
import { once } from 'node:events';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { databaseFiles } from '../../src/modules/ground.ts';
import { openDatabase, sql } from '../../src/storage/index.ts';
import { type Client, registerAccount } from '../support/client.ts';
import {
  freePort,
  neurite,
  repository,
  startServerProcess,
  temporaryFolder,
  type ServerProcess,
} from '../support/server-process.ts';

const v3 = '/_matrix/client/v3';
const folders: string[] = [];
const folder = (): string => {
  folders.push(temporaryFolder());
  return folders.at(-1) ?? '';
};
afterAll(() => {
  for (const each of folders) rmSync(each, { recursive: true, force: true });
});

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

describe('the command line', () => {
  let data = '';
  let server: ServerProcess;
  let alice: Client;
  beforeAll(async () => {
    data = folder();
    server = await startServerProcess({ data });
    alice = await registerAccount(server.baseUrl, 'alice');
  }, 60_000);
  afterAll(async () => {
    alice.close();
    await server.stop();
  });

  test('a second server on one data folder is refused in one sentence', async () => {
    const second = await neurite(['--data', data, '--listen', `127.0.0.1:${await freePort()}`]);
    expect(second).toMatchObject({ status: 1, stdout: '' });
    expect(second.stderr).toMatch(/^neurite: The data folder \S+ is in use by another Neurite process\.\n$/);
  }, 30_000);

  test('create-user talks to the running server', async () => {
    const made = await neurite(['create-user', 'operator', '--admin', '--password-stdin', '--data', data], {
      input: 'a good password\n',
    });
    expect(made).toEqual({ status: 0, stdout: 'Made @operator:localhost, an administrator.\n', stderr: '' });
    const identifier = { type: 'm.id.user', user: 'operator' };
    const body = { type: 'm.login.password', identifier, password: 'a good password' };
    const login = await fetch(`${server.baseUrl}${v3}/login`, { method: 'POST', body: JSON.stringify(body) });
    expect(login.status).toBe(200);
    const twice = await neurite(['create-user', 'operator', '--data', data]);
    expect(twice).toMatchObject({ status: 1, stdout: '' });
    expect(twice.stderr).toMatch(/^neurite: .*\n$/);
    const printed = await neurite(['create-user', 'other', '--data', data]);
    expect(printed.stdout).toMatch(/^Made @other:localhost\.\nPassword: \S{12,}\n$/);
  }, 30_000);

  test('create-user works without a server too', async () => {
    const own = folder();
    const made = await neurite(['create-user', 'carol', '--data', own, '--server-name', 'example.org']);
    expect(made.stdout).toMatch(/^Made @carol:example\.org\.\n/);
  }, 30_000);

  test('run takes its settings by flag before environment before file before default', async () => {
    const own = folder();
    const [byFlag, byEnvironment, byFile] = [await freePort(), await freePort(), await freePort()];
    const listener = (port: number): string => `[{address: 127.0.0.1, port: ${port}, resources: [client]}]`;
    writeFileSync(
      join(own, 'neurite.yaml'),
      `server_name: file.example\nlisteners: ${listener(byFile)}\nregistration:\n  mode: open\n`,
    );
    const env = { NEURITE_SERVER_NAME: 'environment.example', NEURITE_LISTENERS: listener(byEnvironment) };
    const running = async (args: readonly string[], port: number): Promise<string> => {
      const started = await startServerProcess({ data: own, port, env, command: args, cwd: own });
      const user = await registerAccount(started.baseUrl, `user${port}`);
      const { user_id: id } = await user.must('GET', `${v3}/account/whoami`);
      user.close();
      await started.stop();
      rmSync(join(own, 'data'), { recursive: true, force: true });
      return String(id);
    };
    expect(await running(['--data', 'data'], byEnvironment)).toContain(':environment.example');
    const flags = ['--data', 'data', '--server-name', 'flag.example', '--listen', `127.0.0.1:${byFlag}`];
    expect(await running(['run', ...flags], byFlag)).toContain(':flag.example');
  }, 60_000);

  test('all faults of file, environment and flags are told at once, and nothing is started', async () => {
    const own = folder();
    writeFileSync(join(own, 'neurite.yaml'), 'server_name: a b\nlogg: {}\nregistration:\n  mode: maybe\n');
    const { status, stderr } = await neurite(['--set', 'sync.linear_max_entries=-1'], {
      cwd: own,
      env: { NEURITE_LOG__LEVEL: 'loud' },
    });
    expect(status).toBe(1);
    for (const part of [
      'neurite.yaml:1',
      'neurite.yaml:2',
      'neurite.yaml:4',
      'NEURITE_LOG__LEVEL',
      '--set sync.linear',
    ])
      expect(stderr).toContain(part);
    expect(stderr).toMatch(/logg.*did you mean.*log/i);
    expect(existsSync(join(own, 'neurite-data'))).toBe(false);
  }, 30_000);

  test('a newer schema is refused in one sentence, by run and by verify', async () => {
    const own = folder();
    await neurite(['create-user', 'dave', '--data', own]);
    const onFatal = (error: Error): void => {
      throw error;
    };
    const db = openDatabase({ ...databaseFiles(own), onFatal });
    const insert = sql<[]>(
      "INSERT INTO kernel_migrations (number, name, checksum) VALUES (9999, '9999_later.sql', 'x')",
    );
    await db.write((tx) => void tx.run(insert));
    await db.close();
    const sentence = 'neurite: this data folder was written by a newer version of Neurite (migration 9999_later.sql)\n';
    for (const args of [
      ['--data', own, '--listen', '127.0.0.1:0'],
      ['verify', '--data', own],
    ]) {
      expect(await neurite(args)).toEqual({ status: 1, stdout: '', stderr: sentence });
    }
  }, 30_000);

  test('help and version answer without a server', async () => {
    const help = await neurite(['--help']);
    for (const name of ['run', 'init', 'check-config', 'create-user', 'verify', 'version']) {
      expect(help.stdout).toMatch(new RegExp(`^ +${name}\\b`, 'm'));
    }
    const run = await neurite(['run', '--help']);
    for (const flag of ['--config', '--data', '--server-name', '--listen', '--set']) expect(run.stdout).toContain(flag);
    expect((await neurite(['version'])).stdout).toMatch(/^neurite \d/);
    expect((await neurite(['nonsense'], { cwd: repository })).status).toBe(1);
  }, 30_000);
});
