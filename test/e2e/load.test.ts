/**
 * Eight writers and 200 parked syncs. `NEURITE_LOAD_SECONDS=60` runs the full minute; by default a short form.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { registerAccount, type Client } from '../support/client.ts';
import { startServerProcess, type ServerProcess } from '../support/server-process.ts';

const seconds = Number(process.env['NEURITE_LOAD_SECONDS'] ?? 5);
const writerCount = 8;
const readerCount = 200;

let server: ServerProcess;
beforeAll(async () => {
  server = await startServerProcess({ set: { 'sync.timeline_limit.default': '1000' } });
}, 40_000);
afterAll(async () => {
  await server.stop();
});

async function read(
  reader: Client,
  roomId: string,
  since: string,
  seen: string[],
  isDone: () => boolean,
): Promise<void> {
  let token = since;
  while (!isDone()) {
    const answer = await reader.sync(token, 10_000);
    token = answer.next_batch;
    const timeline = answer.rooms?.join?.[roomId]?.timeline;
    if (timeline?.limited === true) throw new Error('a reader was given a gap');
    for (const event of timeline?.events ?? []) {
      if (event.type === 'm.room.message') seen.push(String(event.content['body']));
    }
  }
}

/** The 99th percentile of the event loop's delay in the last 10 to 20 seconds, as the server's metrics tell it, in ms. */
async function loopDelay(baseUrl: string): Promise<number> {
  const text = await (await fetch(`${baseUrl}/metrics`)).text();
  const seconds = /^neurite_loop_delay_seconds\{quantile="0.99"\} (\S+)/m.exec(text)?.[1];
  return Number(seconds) * 1000;
}

const sampleMs = 5000;

test('every reader sees every message once and in order while eight writers send', async () => {
  const writers = await Promise.all(
    Array.from({ length: writerCount }, (_, index) => registerAccount(server.baseUrl, `writer${index}`)),
  );
  const [owner] = writers;
  if (owner === undefined) throw new Error('no writers');
  const roomId = await owner.createRoom();
  for (const writer of writers.slice(1)) await writer.join(roomId);
  const readers: Client[] = [];
  for (let index = 0; index < readerCount; index += 1) {
    const reader = await registerAccount(server.baseUrl, `reader${index}`);
    await reader.join(roomId);
    readers.push(reader);
  }
  const tokens = await Promise.all(readers.map(async (reader) => (await reader.sync(undefined, 0)).next_batch));

  let ended = false;
  const seen = readers.map((): string[] => []);
  const reading = readers.map((reader, index) =>
    read(reader, roomId, tokens[index] ?? '', seen[index] ?? [], () => ended),
  );
  const deadline = Date.now() + seconds * 1000;
  const delays: number[] = [];
  const sampling = (async () => {
    while (Date.now() + sampleMs < deadline) {
      await new Promise((done) => setTimeout(done, sampleMs));
      delays.push(await loopDelay(server.baseUrl));
    }
  })();
  const counts = await Promise.all(
    writers.map(async (writer, index) => {
      let count = 0;
      while (Date.now() < deadline) {
        const answer = await writer.send(roomId, `t${count}`, `${index} ${count}`);
        if (answer.status !== 200) throw new Error(`a send failed: ${JSON.stringify(answer)}`);
        count += 1;
      }
      return count;
    }),
  );
  ended = true;
  const last = await owner.send(roomId, 'last', 'the end');
  expect(last.status).toBe(200);
  await Promise.all(reading);

  const history = (await owner.history(roomId)).filter((event) => event.type === 'm.room.message');
  const order = history.map((event) => String(event.content['body']));
  expect(order).toHaveLength(counts.reduce((sum, count) => sum + count, 0) + 1);
  for (const bodies of seen) {
    // A reader may have ended before the very last messages: what he saw must be the beginning of the room's order.
    expect(bodies).toEqual(order.slice(0, bodies.length));
    expect(order.length - bodies.length).toBeLessThanOrEqual(writerCount + 1);
  }
  await sampling;
  delays.push(await loopDelay(server.baseUrl));
  const [last99 = 0, worst = 0] = [delays.at(-1), Math.max(...delays)];
  process.stderr.write(
    `load: ${order.length} messages in ${seconds} s to ${readerCount} readers; loop delay p99 ${last99.toFixed(1)} ms, ` +
      `worst of ${delays.length} looks ${worst.toFixed(1)} ms\n`,
  );
  for (const client of [...writers, ...readers]) client.close();
}, 600_000);
