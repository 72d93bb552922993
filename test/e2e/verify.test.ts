/** `neurite verify` as an operator uses it: beside the server, after it, and with a repair. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { databaseFiles } from '../../src/modules/ground.ts';
import { openDatabase, sql } from '../../src/storage/index.ts';
import { registerAccount } from '../support/client.ts';
import { neurite, startServerProcess, temporaryFolder } from '../support/server-process.ts';

const data = temporaryFolder();
afterAll(() => rmSync(data, { recursive: true, force: true }));
const clean = { status: 0, stdout: 'No difference found.\n', stderr: '' };
const verify = (...more: string[]) => neurite(['verify', '--data', data, ...more]);

async function change(statement: string): Promise<void> {
  const onFatal = (error: Error): void => {
    throw error;
  };
  const db = openDatabase({ ...databaseFiles(data), onFatal });
  await db.write((tx) => void tx.run(sql<[]>(statement)));
  await db.close();
}

beforeAll(async () => {
  const server = await startServerProcess({ data });
  const alice = await registerAccount(server.baseUrl, 'alice');
  const bob = await registerAccount(server.baseUrl, 'bob');
  const roomId = await alice.createRoom();
  await bob.join(roomId);
  const sent = await alice.send(roomId, 't1', 'hello');
  const relates = { rel_type: 'm.thread', event_id: sent.body['event_id'] };
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`;
  await bob.must('PUT', `${path}/send/m.room.message/t1`, { body: 'reply', 'm.relates_to': relates });
  await alice.must('PUT', `${path}/redact/${encodeURIComponent(String(sent.body['event_id']))}/t2`, {});
  // Who searches makes the consumers of the log catch up.
  await alice.must('POST', '/_matrix/client/v3/user_directory/search', { search_term: 'bob' });
  await alice.must('POST', '/_matrix/client/v3/search', {
    search_categories: { room_events: { search_term: 'reply' } },
  });
  // The server stands still, as under the worst load, and is asked nothing.
  server.child.kill('SIGSTOP');
  expect(await verify()).toEqual(clean);
  server.child.kill('SIGCONT');
  alice.close();
  bob.close();
  expect(await server.stop()).toBe(0);
}, 60_000);

describe('neurite verify', () => {
  test('only reads: not a byte of the data folder changes', async () => {
    const digest = (): string =>
      createHash('sha256')
        .update(readFileSync(join(data, 'neurite.db')))
        .digest('hex');
    const before = digest();
    expect(await verify()).toEqual(clean);
    expect(digest()).toBe(before);
  }, 30_000);

  test('names each difference, and --repair makes what is derived anew', async () => {
    await change('UPDATE room_rooms SET joined = 5');
    await change('DELETE FROM syncapi_thread_events');
    const found = await verify();
    expect(found).toMatchObject({ status: 1, stderr: 'neurite: 2 differences found.\n' });
    expect(found.stdout).toMatch(/^!\S+: joined, invited, last change 1: stored 5 0 \d+, should be 2 0 \d+$/m);
    const repaired = await verify('--repair');
    expect(repaired).toMatchObject({ status: 0, stderr: '' });
    expect(repaired.stdout).toMatch(
      /^Made anew: !\S+: joined(.|\n)*^Made anew: !\S+: thread event(.|\n)*No difference/m,
    );
    expect(await verify()).toEqual(clean);
  }, 60_000);

  test('has a running server make the repair', async () => {
    await change('DELETE FROM room_members');
    const server = await startServerProcess({ data });
    expect(await verify('--repair')).toMatchObject({ status: 0, stderr: '' });
    expect(await server.stop()).toBe(0);
    expect(await verify()).toEqual(clean);
  }, 60_000);

  test('holds the lagging consumers against a rebuild, word by word', async () => {
    await change('INSERT INTO search_events (nid, room, slot, live, depth, edit) VALUES (9999, 1, 1, 1, 1, 0)');
    await change("UPDATE userapi_directory SET user_id = '@nobody:localhost' WHERE user_id = '@bob:localhost'");
    const { status, stdout } = await verify();
    expect(status).toBe(1);
    expect(stdout.trim().split('\n').sort()).toEqual([
      'search: event 9999 is stored as 1 1 1 1 0',
      expect.stringMatching(/^user_directory: words of @bob:localhost should be .*bob/),
      expect.stringMatching(/^user_directory: words of @nobody:localhost is stored as /),
    ]);
    expect(await verify('--repair')).toMatchObject({ status: 0, stderr: '' });
    expect(await verify()).toEqual(clean);
  }, 60_000);

  test('leaves facts as they are and says that they differ', async () => {
    await change('UPDATE room_events SET depth = depth + 1 WHERE nid = 1');
    const { status, stdout } = await verify('--repair');
    expect(status).toBe(1);
    expect(stdout).toContain('event 1: depth is not that of its JSON');
    await change('UPDATE room_events SET depth = depth - 1 WHERE nid = 1');
  }, 60_000);

  test('says in one sentence what it cannot read', async () => {
    const other = await verify('--server-name', 'other.example');
    expect(other).toMatchObject({ status: 1, stdout: '' });
    expect(other.stderr).toMatch(
      /^neurite: The data folder \S+ belongs to the server name localhost, not other.example.\n$/,
    );
    const nothing = await neurite(['verify', '--data', join(data, 'nothing')]);
    expect(nothing.stderr).toMatch(/^neurite: there is no database \S+ yet\n$/);
    expect(existsSync(join(data, 'nothing'))).toBe(false);
  }, 30_000);
});
