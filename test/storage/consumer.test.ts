import { describe, expect, test } from '@jest/globals';
import { Bus, LaggingConsumer, type Consumer, type StoredEntry } from '../../src/bus/index.ts';
import type { UserId } from '../../src/matrix/ids.ts';
import { sql, type Database, type Position, type Tx } from '../../src/storage/index.ts';
import { createLogger } from '../../src/util/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openTestDatabase } from '../support/http.ts';

const profile = (name: string): StoredEntry => ({ topic: 'user.profile', user: `@${name}:localhost` as UserId });
const other: StoredEntry = { topic: 'user.device_list', user: '@x:localhost' as UserId };

/** Notes in memory what it was given; entries of users in `broken` fail. */
class Notes implements Consumer {
  readonly name = 'notes';
  readonly version: number;
  readonly broken = new Set<string>();
  readonly noted: string[] = [];
  readonly rebuilt: number[] = [];

  constructor(version = 1) {
    this.version = version;
  }

  keyOf(entry: StoredEntry): string | undefined {
    return entry.topic === 'user.profile' ? entry.user : undefined;
  }

  apply(tx: Tx, entry: StoredEntry): void {
    const user = entry.topic === 'user.profile' ? entry.user : '';
    if (this.broken.has(user)) throw new Error(`${user} is broken`);
    tx.afterCommit(() => this.noted.push(user));
  }

  clear(): void {
    this.rebuilt.length = 0;
  }

  rebuild(_tx: unknown, cursor: number): number | undefined {
    this.rebuilt.push(cursor);
    return cursor < 2 ? cursor + 1 : undefined;
  }
}

const log = createLogger({ level: 'silent', format: 'json' });
const start = (db: Database, bus: Bus, consumer: Consumer, clock = new FakeClock()): LaggingConsumer =>
  new LaggingConsumer({ db, bus, clock, log, consumer, lagMs: 1000 });
const append = (db: Database, bus: Bus, ...entries: StoredEntry[]): Promise<Position[]> =>
  db.write((tx) => entries.map((entry) => bus.append(tx, entry)));
const selectParked = sql<[], { key: string; reason: string }>('SELECT key, reason FROM bus_parked ORDER BY position');
const selectPosition = sql<[], { position: number }>("SELECT position FROM bus_consumers WHERE name = 'notes'");
const positionOf = (db: Database): number | undefined => db.read((snapshot) => snapshot.get(selectPosition)?.position);

describe('a lagging consumer', () => {
  test('is given every entry once and in order, in batches, or as soon as somebody asks', async () => {
    await using database = await openTestDatabase();
    const { db } = database;
    const bus = new Bus(db);
    const notes = new Notes();
    const clock = new FakeClock();
    const consumer = start(db, bus, notes, clock);
    await consumer.start();
    await append(db, bus, profile('a'), other, profile('b'));
    expect(notes.noted).toEqual([]);
    await consumer.caughtUp();
    expect(notes.noted).toEqual(['@a:localhost', '@b:localhost']);
    const [last] = await append(db, bus, profile('c'));
    clock.advance(1000);
    await consumer.caughtUp();
    expect(notes.noted.slice(2)).toEqual(['@c:localhost']);
    expect(positionOf(db)).toBe(last);
    await consumer.close();
  });

  test('goes on from its position after a restart, and makes its tables once', async () => {
    await using database = await openTestDatabase();
    const { db } = database;
    const first = new Notes();
    const before = new Bus(db);
    await append(db, before, profile('early'));
    const one = start(db, before, first);
    await one.start();
    expect(first.rebuilt).toEqual([0, 1, 2]);
    expect(first.noted).toEqual([]);
    await append(db, before, profile('a'));
    await one.close();
    const second = new Notes();
    const two = start(db, new Bus(db), second);
    await two.start();
    expect([second.rebuilt, second.noted]).toEqual([[], ['@a:localhost']]);
    await two.close();
    const third = new Notes(2);
    const three = start(db, new Bus(db), third);
    await three.start();
    expect([third.rebuilt, third.noted]).toEqual([[0, 1, 2], []]);
    await three.close();
  });

  test('goes on making its tables where that was broken off', async () => {
    await using database = await openTestDatabase();
    const { db } = database;
    const broken = new Notes();
    const steps = broken.rebuild.bind(broken);
    broken.rebuild = (tx, cursor) => {
      if (cursor === 2) throw new Error('killed');
      return steps(tx, cursor);
    };
    await expect(start(db, new Bus(db), broken).start()).rejects.toThrow('killed');
    const bus = new Bus(db);
    await append(db, bus, profile('meanwhile'));
    const notes = new Notes();
    const consumer = start(db, bus, notes);
    await consumer.start();
    expect(notes.rebuilt).toEqual([2]);
    expect(notes.noted).toEqual(['@meanwhile:localhost']);
    await consumer.close();
  });

  test('parks what fails with its reason, holds up its key alone, and repairs it in order', async () => {
    await using database = await openTestDatabase();
    const { db } = database;
    const bus = new Bus(db);
    const notes = new Notes();
    const consumer = start(db, bus, notes);
    await consumer.start();
    notes.broken.add('@b:localhost');
    await append(db, bus, profile('a'), profile('b'), profile('c'), profile('b'));
    await consumer.caughtUp();
    expect(notes.noted).toEqual(['@a:localhost', '@c:localhost']);
    expect(db.read((snapshot) => snapshot.all(selectParked))).toEqual([
      { key: '@b:localhost', reason: '@b:localhost is broken' },
      { key: '@b:localhost', reason: '' },
    ]);
    await consumer.start();
    expect(db.read((snapshot) => snapshot.all(selectParked))).toHaveLength(2);
    const parked = consumer.measures.find(({ name }) => name.endsWith('parked'));
    expect(parked?.read()).toBe(2);
    await consumer.close();

    notes.broken.clear();
    const again = start(db, bus, notes);
    await append(db, bus, profile('b'));
    await again.start();
    expect(notes.noted.slice(2)).toEqual(['@b:localhost', '@b:localhost', '@b:localhost']);
    expect(db.read((snapshot) => snapshot.all(selectParked))).toEqual([]);
    await append(db, bus, profile('b'));
    await again.caughtUp();
    expect(notes.noted).toHaveLength(6);
    await again.close();
  });
});
