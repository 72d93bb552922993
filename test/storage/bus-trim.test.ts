import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Bus } from '../../src/bus/index.ts';
import { sql } from '../../src/storage/index.ts';
import { openTestDatabase, type TestDatabase } from '../support/http.ts';

const insertRow = sql<[position: number]>("INSERT INTO bus_log (position, topic, body) VALUES (?, 'profile', '{}')");
const insertConsumer = sql<[position: number]>("INSERT INTO bus_consumers (name, position) VALUES ('search', ?)");
const deleteConsumer = sql('DELETE FROM bus_consumers');
const selectRange = sql<[], { first: number; n: number }>('SELECT min(position) AS first, count(*) AS n FROM bus_log');

describe('trimming the output log', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
    await database.db.write((tx) => {
      for (let position = 1; position <= 25_000; position += 1) tx.run(insertRow, position);
    });
  });
  afterAll(async () => database[Symbol.asyncDispose]());
  const range = () => database.db.read((snapshot) => snapshot.get(selectRange));

  test('rows that a lagging consumer has not read stay', async () => {
    const { db } = database;
    await db.write((tx) => void tx.run(insertConsumer, 1000));
    const bus = new Bus(db);
    await bus.trim();
    expect(range()).toEqual({ first: 1001, n: 24_000 });
  });

  test('the window stays, what is older goes, in several units of work', async () => {
    const { db } = database;
    await db.write((tx) => void tx.run(deleteConsumer));
    await new Bus(db).trim();
    expect(range()).toEqual({ first: 5001, n: 20_000 });
  });

  test('with nothing to delete it does nothing', async () => {
    await new Bus(database.db).trim();
    expect(range()).toEqual({ first: 5001, n: 20_000 });
  });
});
