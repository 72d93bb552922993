/**
 * Verification of a lagging consumer: its tables are made anew beside the stored ones, by its own rebuild, and the two are
 * compared. That tells something only of a consumer that has got through the log.
 */
import { type ReadOnlyDatabase, type Snapshot, sql, type Tx } from '../storage/index.ts';
import { type Consumer, type ConsumerContents, isBehind } from './consumer.ts';

const selectParked = sql<[name: string], { key: string; reason: string }>(
  "SELECT key, reason FROM bus_parked WHERE consumer = ? AND reason != ''",
);
const words = (schema: string): string => `words_of_${schema}`;
const shown = 100;
const looks = 20;
const betweenLooksMs = 500;

/** How verification deals with a consumer that has not got through the log. */
export interface VerifyConsumerOptions {
  /** A server runs that will bring it there: look again for some seconds. */
  readonly wait: boolean;
  /** Is told when it did not get there, so that nothing was compared. */
  readonly onSkipped: (consumer: string) => void;
}

/** One sentence for each difference. */
export async function* verifyConsumer(
  db: ReadOnlyDatabase,
  consumer: Consumer,
  { wait, onSkipped }: VerifyConsumerOptions,
): AsyncGenerator<string, void> {
  const { contents, name } = consumer;
  if (contents === undefined) return;
  for (const { key, reason } of db.read((snapshot) => snapshot.all(selectParked, name))) {
    yield `${name}: what was logged of ${key} could not be applied: ${reason}`;
  }
  for (let look = 0; look < looks; look += 1) {
    const found = db.shadow(contents.tables, (tx) =>
      isBehind(tx, consumer) || contents.isBehind?.(tx) === true ? null : compare(tx, consumer, contents),
    );
    if (found !== null) return yield* found;
    if (!wait) break;
    await new Promise((resolve) => setTimeout(resolve, betweenLooksMs));
  }
  onSkipped(name);
}

function compare(tx: Tx, consumer: Consumer, contents: ConsumerContents): string[] {
  for (let cursor: number | undefined = 0; cursor !== undefined;) cursor = consumer.rebuild(tx, cursor);
  while (consumer.continue?.(tx) === true);
  for (const schema of schemas) tx.run(sql<[]>(vocabulary(contents, schema)));
  try {
    return [
      ...missing(tx, contents, 'temp', 'main', (what, value) => `${consumer.name}: ${what} should be ${value}`),
      ...missing(tx, contents, 'main', 'temp', (what, value) => `${consumer.name}: ${what} is stored as ${value}`),
    ];
  } finally {
    for (const schema of schemas) tx.run(sql<[]>(`DROP TABLE temp.${words(schema)}`));
  }
}

const schemas = ['main', 'temp'] as const;
const vocabulary = ({ text }: ConsumerContents, schema: string): string =>
  `CREATE VIRTUAL TABLE temp.${words(schema)} USING fts5vocab('${schema}', '${text}', 'instance')`;

/** What one of the two has and the other has not. */
function missing(
  snapshot: Snapshot,
  { query }: ConsumerContents,
  from: string,
  other: string,
  describe: (what: string, value: string) => string,
): string[] {
  const both = sql<[limit: number], { what: string; value: string }>(
    `SELECT * FROM (${query(from, words(from))}) EXCEPT SELECT * FROM (${query(other, words(other))}) LIMIT ?`,
  );
  return snapshot.all(both, shown).map(({ what, value }) => describe(what, value));
}
