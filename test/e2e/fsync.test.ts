/**
 * A 200 means fsynced (DESIGN §4), seen from below the process: a shim logs the writes to the WAL, the fdatasync calls
 * and the answers in the order in which they happened.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { registerAccount } from '../support/client.ts';
import { startServerProcess, temporaryFolder } from '../support/server-process.ts';
import { diskShims } from '../support/shim.ts';

const folder = temporaryFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** For each event id: the log line at which its answer left; for each marker: the line of its last write to the WAL. */
function readLog(path: string): { lines: string[]; answers: Map<string, number>; writes: Map<string, number> } {
  const lines = readFileSync(path, 'utf8').split('\n');
  const answers = new Map<string, number>();
  const writes = new Map<string, number>();
  lines.forEach((line, index) => {
    // The first answer is the send's own; the WAL may be written again later by a checkpointed page.
    if (line.startsWith('R ') && !answers.has(line.slice(2))) answers.set(line.slice(2), index);
    if (line.startsWith('W ') && !writes.has(line.slice(2))) writes.set(line.slice(2), index);
  });
  return { lines, answers, writes };
}

test.each(diskShims(folder))(
  'no 200 leaves before the fdatasync that covers it, as seen by $by',
  async ({ env: shim }) => {
    const log = join(folder, `calls-${Object.keys(shim).join()}`);
    const env = { ...shim, SHIM_LOG: log, SHIM_DELAY_US: '5000' };
    const server = await startServerProcess({ env });
    const sent = new Map<string, string>();
    try {
      const clients = await Promise.all([0, 1, 2, 3].map((index) => registerAccount(server.baseUrl, `user${index}`)));
      let number = 1000;
      await Promise.all(
        clients.map(async (client) => {
          const roomId = await client.createRoom();
          for (let count = 0; count < 15; count += 1) {
            const marker = String((number += 1));
            const answer = await client.send(roomId, marker, `marker-${marker};`);
            expect(answer.status).toBe(200);
            sent.set(marker, String(answer.body['event_id']));
          }
          client.close();
        }),
      );
    } finally {
      await server.stop();
    }
    const { lines, answers, writes } = readLog(log);
    for (const [marker, eventId] of sent) {
      const written = writes.get(marker) ?? Infinity;
      const answered = answers.get(eventId) ?? -1;
      const begun = lines.indexOf('S', written);
      const ended = lines.indexOf('E', begun);
      // One fdatasync at a time: the first that begins after the write and has ended covers it.
      expect({ marker, written, begun, ended, answered }).toMatchObject({
        written: expect.any(Number),
        begun: expect.any(Number),
      });
      expect(written).toBeLessThan(begun);
      expect(begun).toBeLessThan(ended);
      expect(ended).toBeLessThan(answered);
    }
  },
  60_000,
);
