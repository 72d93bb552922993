/**
 * Whether rows and files agree, and whether usage is what the rows make of it. It reads only, in this process or another:
 * a file is on disk before its row and goes after it, so what is seen between the two is looked at again.
 */
import { join } from 'node:path';
import { type Database, DerivedTable, type Reader, type Snapshot, sql } from '../storage/index.ts';
import { MediaFiles } from './files.ts';
import { thumbnailName } from './repository.ts';
import * as storage from './storage.ts';

const usageRows = new DerivedTable({
  table: 'media_usage',
  what: 'media usage of',
  key: ['owner'],
  values: ['files', 'bytes'],
});
interface Usage {
  readonly owner: string;
  readonly files: number;
  readonly bytes: number;
}
const selectUsage = sql<[], Usage>('SELECT owner, files, bytes FROM media_usage');
const selectExpectedUsage = sql<[everything: string], Usage>(
  `SELECT uploader AS owner, count(*) AS files, sum(size) AS bytes
     FROM media_items i JOIN media_blobs b ON b.hash = i.hash WHERE uploader IS NOT NULL GROUP BY uploader
   UNION ALL SELECT ?, (SELECT count(*) FROM media_blobs) + (SELECT count(*) FROM media_thumbnails),
     (SELECT coalesce(sum(size), 0) FROM media_blobs) + (SELECT coalesce(sum(size), 0) FROM media_thumbnails)`,
);
const batch = 100;
const looks = 4;
const betweenLooksMs = 250;

export interface VerifyMediaOptions {
  /** Also name files without a row: what a crash leaves until the sweep at the next start. */
  readonly strays?: boolean;
  /** Runs a look at one content while nothing else changes it; without it a fault is looked at several times. */
  readonly inLane?: <T>(hash: string, look: () => Promise<T>) => Promise<T>;
}

/** One sentence for each difference. @param dataDir the data folder */
export async function* verifyMedia(
  db: Reader,
  dataDir: string,
  { strays = false, inLane }: VerifyMediaOptions = {},
): AsyncGenerator<string, void> {
  const files = new MediaFiles(join(dataDir, 'media'));
  const hashes = new Set(blobHashes(db));
  if (strays) for await (const names of files.stored('content')) for (const name of names) hashes.add(name);
  for (const hash of hashes) {
    const look = (): Promise<string[]> => faultsOf(db, files, hash, strays);
    yield* inLane === undefined ? await lastOf(look) : await inLane(hash, look);
  }
  if (strays) {
    for await (const names of files.stored('thumbnails')) {
      for (const name of names) {
        if (!hashes.has(name.split('-')[0] ?? '')) yield `the file of thumbnail ${name} belongs to nothing`;
      }
    }
  }
  for (const difference of db.read(usageDifferences)) yield usageRows.describe(difference);
}

/** Counts usage anew from the rows; tells `print` of each repaired row. */
export async function repairMediaUsage(db: Database, print: (line: string) => void): Promise<void> {
  const repaired = await db.write((tx) => {
    const differences = usageDifferences(tx);
    for (const difference of differences) usageRows.repair(tx, difference);
    return differences.map((each) => usageRows.describe(each));
  });
  repaired.forEach(print);
}

function usageDifferences(snapshot: Snapshot): ReturnType<DerivedTable['differences']> {
  const rowsOf = (list: readonly Usage[]): (string | number)[][] =>
    // A row of nothing and no row are the same.
    list.filter(({ files }) => files > 0).map(({ owner, files, bytes }) => [owner, files, bytes]);
  const expected = snapshot.all(selectExpectedUsage, storage.everything);
  return usageRows.differences(rowsOf(snapshot.all(selectUsage)), rowsOf(expected));
}

function* blobHashes(db: Reader): Generator<string, void> {
  for (let after: string | undefined = ''; after !== undefined;) {
    const from: string = after;
    const blobs = db.read((snapshot) => snapshot.all(storage.selectBlobsAfter, from, batch));
    for (const { hash } of blobs) yield hash;
    after = blobs.at(-1)?.hash;
  }
}

async function lastOf(look: () => Promise<string[]>): Promise<string[]> {
  let faults = await look();
  for (let count = 1; count < looks && faults.length > 0; count += 1) {
    await new Promise((resolve) => setTimeout(resolve, betweenLooksMs));
    faults = await look();
  }
  return faults;
}

async function faultsOf(db: Reader, files: MediaFiles, hash: string, strays: boolean): Promise<string[]> {
  const blob = db.read((snapshot) => snapshot.get(storage.selectBlob, hash));
  const size = await files.sizeOf(files.contentPath(hash));
  if (blob === undefined) return size === undefined || !strays ? [] : [`the file of media ${hash} belongs to nothing`];
  const faults = difference(`media ${hash}`, size, blob.size);
  if (strays && db.read((snapshot) => snapshot.get(storage.selectAnyItemOfBlob, hash)) === undefined) {
    faults.push(`media ${hash} is named by nothing`);
  }
  for (const row of db.read((snapshot) => snapshot.all(storage.selectThumbnails, hash))) {
    const name = thumbnailName(row);
    faults.push(...difference(`thumbnail ${name}`, await files.sizeOf(files.thumbnailPath(name)), row.size));
  }
  return faults;
}

function difference(what: string, found: number | undefined, expected: number): string[] {
  if (found === expected) return [];
  if (found === undefined) return [`the file of ${what} is missing`];
  return [`the file of ${what} has ${found} bytes instead of ${expected}`];
}
