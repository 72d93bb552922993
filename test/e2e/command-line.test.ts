/** The server as its operator meets it: the command line. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { databaseFiles } from '../../src/modules/ground.ts';
import { openDatabase, sql } from '../../src/storage/index.ts';
import { type Client, registerAccount } from '../support/client.ts';
import { freePort, neurite, repository, startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { useFolders } from '../support/folders.ts';

const v3 = '/_matrix/client/v3';

const folder = useFolders();

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
