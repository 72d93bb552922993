/**
 * What a server cannot do without for a list of events: take each text apart, hash it, verify its signature, insert it. No
 * judging, no graph, no state. Benches set what the server needs in relation to this.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { verifyBatch } from '../../src/matrix/crypto/ed25519.ts';
import { checkPdu } from '../../src/matrix/pdu-check.ts';
import { hasValidContentHash, signedPduText } from '../../src/matrix/pdu.ts';
import type { RoomVersionRules } from '../../src/matrix/room-versions.ts';
import { signatureCheck, signedBy } from '../../src/matrix/signing.ts';
import { openDatabase, sql } from '../../src/storage/index.ts';
import { temporaryFolder } from '../support/server-process.ts';

export interface FloorWish {
  readonly texts: readonly string[];
  readonly rules: RoomVersionRules;
  readonly serverName: string;
  readonly publicKey: Uint8Array;
}

const chunk = 200;
const insert = sql<[id: string, text: string]>('INSERT INTO bench_events (id, text) VALUES (?, ?)');

/** Time by the clock and of the processors, in ms. */
export interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

/** What it costs to have all of them on disk. */
export async function floorOf({ texts, rules, serverName, publicKey }: FloorWish): Promise<Cost> {
  const folder = temporaryFolder();
  const migrations = new URL('../../migrations', import.meta.url).pathname;
  const db = openDatabase({ path: join(folder, 'bench.db'), migrations, onFatal: (error) => console.error(error) });
  await db.write((tx) => {
    tx.run(sql('CREATE TABLE bench_events (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT'));
  });
  const started = performance.now();
  const cpu = process.cpuUsage();
  for (let from = 0; from < texts.length; from += chunk) {
    const part = texts.slice(from, from + chunk).map((text) => {
      const checked = checkPdu(text, rules);
      if (!checked.ok) throw new Error(checked.error.message);
      const { pdu, eventId } = checked.value;
      const [entry] = signedBy(pdu, serverName);
      const message = Buffer.from(signedPduText(pdu, rules));
      const check = entry === undefined ? undefined : signatureCheck(message, entry, publicKey);
      if (check === undefined) throw new Error('an event is not signed');
      return { text, pdu, eventId, check };
    });
    const valid = await verifyBatch(part.map(({ check }) => check));
    if (!valid.every(Boolean) || !part.every(({ pdu }) => hasValidContentHash(pdu, rules)))
      throw new Error('an event is not as it was made');
    await db.write((tx) => {
      for (const { eventId, text } of part) tx.run(insert, eventId, text);
    });
  }
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  await db.close();
  rmSync(folder, { recursive: true, force: true });
  return { ms, cpuMs: (user + system) / 1000 };
}
