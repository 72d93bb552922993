/**
 * A process of its own with a database, for tests that kill it or let its disk fail. Arguments: scenario, folder.
 * What it prints is one JSON value a line.
 */
import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isStorageFull, openDatabase, sql } from '../../src/storage/index.ts';

const [scenario = '', folder = ''] = process.argv.slice(2);
const print = (value: unknown): void => void writeSync(1, `${JSON.stringify(value)}\n`);

const migrations = join(folder, 'migrations');
const db = openDatabase({
  path: join(folder, 'test.db'),
  migrations,
  onFatal: (error) => {
    print({ fatal: error.message });
    process.exit(3);
  },
});

const insert = sql<[value: string]>('INSERT INTO test_rows (value) VALUES (?)');
const count = sql<[], { n: number }>('SELECT count(*) AS n FROM test_rows');
const rows = (): number => db.read((snapshot) => snapshot.get(count)?.n ?? -1);
const write = (value: string): Promise<unknown> =>
  db.write((tx) => {
    tx.run(insert, value);
    return tx.nextPosition();
  });

const scenarios: Record<string, () => Promise<void>> = {
  /** Gives out Positions of both kinds and tells each as a client would learn it, until it is killed. */
  async positions() {
    for (;;) {
      const stored = await write('x'.repeat(100));
      print({ stored, visible: db.nextEphemeralPosition(), rows: rows() });
    }
  },

  /** Writes markers and notes each acknowledgement in the log that the shim keeps. */
  async acknowledge() {
    for (let round = 0; round < 20; round += 1) {
      const markers = Array.from({ length: 5 }, (_, index) => 1000 + round * 5 + index);
      await Promise.all(
        markers.map(async (marker) => {
          await write(`marker-${marker};`);
          writeFileSync(process.env['SHIM_LOG'] ?? '', `R ${marker}\n`, { flag: 'a' });
        }),
      );
    }
    await db.close();
  },

  /** The disk is full for a while. */
  async full() {
    const attempt = (): Promise<string> =>
      // More than a page holds: each needs a new one.
      write('x'.repeat(6000)).then(
        () => 'stored',
        (error: unknown) => (isStorageFull(error) ? 'full' : String(error)),
      );
    const outcome: unknown[] = [await attempt()];
    writeFileSync(join(folder, 'full'), '');
    const during = await Promise.all(Array.from({ length: 50 }, attempt));
    outcome.push([...new Set(during)], rows(), typeof db.nextEphemeralPosition());
    rmSync(join(folder, 'full'));
    outcome.push(await attempt(), rows());
    print(outcome);
    await db.close();
  },

  /** An fsync fails. */
  async broken() {
    await write('a');
    writeFileSync(join(folder, 'broken'), '');
    await write('b').then(() => print('acknowledged'));
  },
};

await scenarios[scenario]?.();
