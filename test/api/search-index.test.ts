/** The index of the search: made anew, verified, repaired. */
import SqliteDatabase from 'better-sqlite3';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { verifyConsumer } from '../../src/bus/index.ts';
import type { UserId } from '../../src/matrix/ids.ts';
import { openReadOnly, sql } from '../../src/storage/index.ts';
import { searchConsumer } from '../../src/syncapi/index.ts';
import { repairDerived } from '../../src/verify.ts';
import { migrations } from '../support/room-core.ts';
import { ok, useTalkers } from '../support/talkers.ts';
import { register, startUserServer, temporaryFolder, v3 } from '../support/userapi.ts';

const enc = encodeURIComponent;
const scene = useTalkers();

describe('the index', () => {
  const contentOf = (folder: string): unknown[] => {
    const database = new SqliteDatabase(join(folder, 'neurite.db'), { readonly: true });
    database.exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'search_text', 'instance')");
    const words = database.prepare('SELECT * FROM temp.words ORDER BY doc, col, offset, term').all();
    const events = database.prepare('SELECT * FROM search_events ORDER BY nid').all();
    database.close();
    return [words, events];
  };

  test('made anew is the same as the one that followed the log, also across a restart', async () => {
    await using place = await temporaryFolder();
    const { folder } = place;
    let last: unknown[] = [];
    {
      await using first = await startUserServer({}, { folder });
      const one = await register(first.client, 'one');
      const room = await scene.create(one, { name: 'Index', topic: 'all of it' }, first);
      const kept = await scene.say(one, room, 'kept words', first);
      const gone = await scene.say(one, room, 'words that go', first);
      await scene.send(
        one,
        room,
        {
          body: '* x',
          'm.new_content': { body: 'changed words' },
          'm.relates_to': { rel_type: 'm.replace', event_id: kept },
        },
        'm.room.message',
        first,
      );
      ok(await first.client.put(`${v3}/rooms/${enc(room)}/redact/${enc(gone)}/1`, {}, one.token));
      // Not followed yet: the server stops first.
    }
    {
      await using second = await startUserServer({}, { folder });
      const { searchIndex } = second.modules.sync;
      last = contentOf(folder);
      await searchIndex.rebuild();
      expect(contentOf(folder)).toEqual(last);
    }
    expect(JSON.stringify(last)).toContain('changed');
    expect(JSON.stringify(last)).not.toContain('kept');
    expect(JSON.stringify(last)).not.toContain('go"');
  });

  test('is verified against the events, word by word, and repaired', async () => {
    await using second = await startUserServer();
    const { db, rooms, sync } = second.modules;
    const reading = openReadOnly({ path: db.path, migrations });
    const verify = async (): Promise<string[]> => {
      const lines: string[] = [];
      const options = { wait: false, onSkipped: (name: string) => void lines.push(name) };
      for await (const line of verifyConsumer(reading, searchConsumer(rooms), options)) lines.push(line);
      return lines;
    };
    const one = await register(second.client, 'one');
    const room = await scene.create(one, { name: 'Verified' }, second);
    await scene.say(one, room, 'first', second);
    await scene.say(one, room, 'second', second);
    await sync.searchIndex.caughtUp();
    expect(await verify()).toEqual([]);
    await db.write((tx) => {
      tx.run(sql<[]>('DELETE FROM search_events WHERE nid = (SELECT max(nid) FROM search_events)'));
      tx.run(sql<[]>('DELETE FROM search_text WHERE rowid = (SELECT max(rowid) FROM search_text)'));
    });
    expect(await verify()).toEqual([
      expect.stringMatching(/^search: event \d+ should be /),
      expect.stringMatching(/^search: words of event \d+ should be .*body:second/),
    ]);
    const lines: string[] = [];
    await repairDerived(second.modules, ['search'], (line) => void lines.push(line));
    expect(lines).toEqual(['search: all of it']);
    expect(await verify()).toEqual([]);
    reading.close();
    expect((await scene.search(one, 'second', {}, '', second)).count).toBe(1);
  });

  test('is asked about many rooms at once', async () => {
    const many = await register(scene.server.client, 'many');
    const { db, rooms } = scene.server.modules;
    const sender = many.userId as UserId;
    const addRooms = (count: number): Promise<string[]> =>
      db.write((tx) =>
        Array.from({ length: count }, () => {
          const room = rooms.createRoom(tx, { version: '12', sender, content: {} });
          rooms.send(tx, room, { type: 'm.room.member', stateKey: sender, sender, content: { membership: 'join' } });
          return room.roomId;
        }),
      );
    const [, , room = ''] = await addRooms(200);
    const event = await scene.say(many, room, 'needle');
    expect(await scene.found(many, 'needle')).toEqual([event]);
    await addRooms(10);
    expect(await scene.found(many, 'needle')).toEqual([event]);
  }, 30_000);
});
