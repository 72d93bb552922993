/** Writing and reading by the database: what is seen, and what follows a commit. */
import { describe, expect, test } from '@jest/globals';
import { CommitError, NotReady, sql } from '../../src/storage/index.ts';
import { useStorageFolders, add, insertRow, rowsIn, rowsOf } from '../support/storage-folders.ts';

const { open } = useStorageFolders();
const insertOrphan = sql('INSERT INTO test_children (parent) VALUES (12345)');

describe('INVARIANTS 1: what a reader sees', () => {
  test('a reader sees whole commits, and every Position up to the head is committed or void', async () => {
    const db = open();
    const seen: [number, number][] = [];
    const writes = Array.from({ length: 200 }, (_, index) =>
      db
        .write((tx) => {
          const position = tx.nextPosition();
          if (index % 7 === 0) throw new Error('void');
          insertRow(tx, String(position));
          return position;
        })
        .catch(() => 0),
    );
    const selectMax = sql<[], { top: string | null }>('SELECT max(cast(value AS INTEGER)) AS top FROM test_rows');
    const watch = setInterval(() => {
      const top = Number(db.read((snapshot) => snapshot.get(selectMax)?.top ?? 0));
      seen.push([top, db.head]);
    }, 0);
    const positions = (await Promise.all(writes)).filter((position) => position > 0);
    clearInterval(watch);
    expect(new Set(positions).size).toBe(positions.length);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    for (const [top, head] of seen) expect(top).toBeLessThanOrEqual(head);
    expect(Math.max(...positions)).toBeLessThanOrEqual(db.head);
    await db.close();
  });

  test('a snapshot stays the same while others write, and its head is that of its turn', async () => {
    const db = open();
    await add(db);
    const headBefore = db.head;
    const outcome = await db.snapshot(async (snapshot, head) => {
      await add(db);
      return { rows: rowsIn(snapshot), head, now: rowsOf(db) };
    });
    expect(outcome).toEqual({ rows: 1, head: headBefore, now: 2 });
    await db.close();
  });

  test('snapshots of one moment see the same, whoever of them writes in between, and each write has its own', async () => {
    const db = open();
    const seen = async (writes: number): Promise<number[]> =>
      db.snapshot(async (snapshot) => {
        const counts = [rowsIn(snapshot)];
        for (let count = 0; count < writes; count += 1) {
          await add(db);
          counts.push(rowsIn(snapshot));
        }
        return counts;
      });
    expect(await Promise.all([seen(2), seen(0), seen(1)])).toEqual([[0, 0, 0], [0], [0, 0]]);
    expect(await Promise.all([seen(1), add(db).then(() => seen(1))])).toEqual([
      [3, 3],
      [5, 5],
    ]);
    await db.close();
  });

  test('a read within a write sees the last commit, not what the write has done so far', async () => {
    const db = open();
    await add(db);
    const counts = await db.write((tx) => {
      insertRow(tx, 'unseen');
      return [rowsOf(db), rowsIn(tx)];
    });
    expect(counts).toEqual([1, 2]);
    expect(rowsOf(db)).toBe(2);
    await db.close();
  });

  test('a reply waits for what it shows to be on disk, and for nothing else', async () => {
    const db = open();
    const { promise, resolve } = Promise.withResolvers<Record<string, string>>();
    const isPending = async (wait: Promise<void>): Promise<string> => {
      let state = 'waits';
      void wait.then(() => (state = 'leaves'));
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
      return state;
    };
    const written = db.write((tx) => {
      insertRow(tx, 'x');
      tx.touch('room:1');
      const position = tx.nextPosition();
      tx.afterCommit(() => {
        const [byKey, byPosition, other] = [db.shown(), db.shown(), db.shown()];
        byKey.key('room:1');
        byPosition.position(position);
        other.key('room:2');
        other.position(position - 1);
        const look = async (): Promise<Record<string, string>> => ({
          key: await isPending(byKey.durable()),
          position: await isPending(byPosition.durable()),
          other: await isPending(other.durable()),
        });
        void look().then(resolve);
      });
    });
    expect(await promise).toEqual({ key: 'waits', position: 'waits', other: 'leaves' });
    await written;
    const after = db.shown();
    after.key('room:1');
    expect(await isPending(after.durable())).toBe('leaves');
    await db.close();
  });
});

describe('INVARIANTS 2: effects after the commit', () => {
  test('a failing unit fails alone, and its effects never run', async () => {
    const db = open();
    const effects: string[] = [];
    const unit = (name: string, fails: boolean) =>
      db.write((tx) => {
        insertRow(tx, name);
        tx.afterCommit(() => effects.push(`${name} committed`));
        tx.afterDurable(() => effects.push(`${name} durable`));
        if (fails) throw new Error(name);
        return name;
      });
    const results = await Promise.allSettled([unit('a', false), unit('b', true), unit('c', false)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(effects).toEqual(['a committed', 'c committed', 'a durable', 'c durable']);
    expect(rowsOf(db)).toBe(2);
    await db.close();
  });

  test('on a failed COMMIT no effect runs and every unit of the group fails with a retryable error', async () => {
    const db = open();
    const effects: string[] = [];
    const good = db.write((tx) => {
      insertRow(tx, 'good');
      tx.afterCommit(() => effects.push('good'));
      return tx.nextPosition();
    });
    const orphan = db.write((tx) => void tx.run(insertOrphan));
    const results = await Promise.allSettled([good, orphan]);
    for (const result of results) {
      expect(result.status === 'rejected' && result.reason).toBeInstanceOf(CommitError);
    }
    expect(effects).toEqual([]);
    expect(rowsOf(db)).toBe(0);
    const next = await add(db);
    expect(next).toBeGreaterThan(1);
    expect(rowsOf(db)).toBe(1);
    await db.close();
  });

  test('what is begun can be built on once it is committed, before it is on disk', async () => {
    const db = open();
    const order: string[] = [];
    const first = db.begin((tx) => {
      insertRow(tx, 'first');
      return tx.nextPosition();
    });
    void first.written.then(() => order.push('written'));
    const position = await first.committed;
    order.push('committed');
    expect(rowsOf(db)).toBe(1);
    const shown = db.shown();
    shown.position(position);
    await shown.durable();
    order.push('shown');
    await first.written;
    expect(order.indexOf('committed')).toBe(0);
    const failing = db.begin(() => {
      throw new Error('no');
    });
    await expect(failing.committed).rejects.toThrow('no');
    await expect(failing.written).rejects.toThrow('no');
    expect(rowsOf(db)).toBe(1);
    await db.close();
  });

  test('reads of one turn see what was committed within it', async () => {
    const db = open();
    const counts: number[] = [];
    await db.write((tx) => {
      counts.push(rowsOf(db));
      insertRow(tx, 'x');
      // The transaction is not committed yet.
      counts.push(rowsOf(db));
      tx.afterCommit(() => counts.push(rowsOf(db)));
    });
    expect(counts).toEqual([0, 0, 1]);
    await db.close();
  });

  test('a transaction has another epoch after a unit of it was taken back', async () => {
    const db = open();
    const epochs: unknown[] = [];
    const note = (tx: { readonly epoch?: object }): void => void epochs.push(tx.epoch);
    await Promise.all([
      db.write(note),
      db.write(note),
      expect(
        db.write((tx) => {
          note(tx);
          throw new Error('no');
        }),
      ).rejects.toThrow('no'),
      db.write(note),
    ]);
    const [first, second, third, fourth] = epochs;
    expect(first).toBeDefined();
    expect(second).toBe(first);
    expect(third).toBe(first);
    expect(fourth).not.toBe(first);
    db.read((snapshot) => expect(snapshot.epoch).toBeUndefined());
    await db.close();
  });

  test('writes are held and let go', async () => {
    const db = open();
    const release = db.hold();
    const written = add(db);
    await new Promise((resolve) => setImmediate(resolve));
    expect([db.queued, rowsOf(db)]).toEqual([1, 0]);
    release();
    await written;
    expect(rowsOf(db)).toBe(1);
    await db.close();
  });
});

describe('INVARIANTS 3: a unit that needs something from outside', () => {
  test('is thrown back and runs again when it is there, while others go on', async () => {
    const db = open();
    const arrived = new Set<string>();
    let arrive = (): void => undefined;
    const waits = new Promise<void>((resolve) => (arrive = resolve));
    const late = db.write((tx) => {
      insertRow(tx, 'late');
      if (!arrived.has('here')) throw new NotReady(() => waits);
      return 'here';
    });
    await add(db);
    expect(rowsOf(db)).toBe(1);
    arrived.add('here');
    arrive();
    expect([await late, rowsOf(db)]).toEqual(['here', 2]);
    await db.close();
  });

  test('fails when that fails, or when it is never satisfied', async () => {
    const db = open();
    const failing = db.write(() => {
      throw new NotReady(() => Promise.reject(new Error('nobody has it')));
    });
    await expect(failing).rejects.toThrow('nobody has it');
    const endless = db.write(() => {
      throw new NotReady(() => Promise.resolve());
    });
    await expect(endless).rejects.toThrow(NotReady);
    expect(rowsOf(db)).toBe(0);
    await db.close();
  });
});
