/**
 * SIGKILL in the middle of load, again and again on one data folder. `NEURITE_KILLS=50` runs the full number; by default
 * a short form with the same seed.
 */
import { rmSync } from 'node:fs';
import { afterAll, expect, test } from '@jest/globals';
import { type Client, registerAccount } from '../support/client.ts';
import { random } from '../support/random.ts';
import { freePort, neurite, startServerProcess, temporaryFolder } from '../support/server-process.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 4);
const writerCount = 8;
const data = temporaryFolder();
afterAll(() => rmSync(data, { recursive: true, force: true }));

interface Writer {
  readonly client: Client;
  readonly roomId: string;
  /** Texts that were answered with 200, and their event ids. */
  readonly acknowledged: Map<string, string>;
  /** The message that was under way when the server died: it is sent again with the same transaction id. */
  pending: { readonly transaction: string; readonly text: string } | undefined;
  count: number;
  /** The newest sync token, and the texts seen up to it. */
  token: string | undefined;
  readonly seen: string[];
}

async function write(writer: Writer, isDead: () => boolean): Promise<void> {
  while (!isDead()) {
    writer.pending ??= { transaction: `t${writer.count}`, text: `text ${writer.count}` };
    const { transaction, text } = writer.pending;
    const answer = await writer.client.send(writer.roomId, transaction, text).catch(() => undefined);
    if (answer === undefined) return;
    if (answer.status === 503) return;
    expect(answer).toMatchObject({ status: 200 });
    writer.acknowledged.set(text, String(answer.body['event_id']));
    writer.pending = undefined;
    writer.count += 1;
  }
}

async function follow(writer: Writer, isDead: () => boolean): Promise<void> {
  while (!isDead()) {
    const answer = await writer.client
      .sync(writer.token, 1000, { room: { timeline: { limit: 1000 } } })
      .catch(() => undefined);
    if (answer === undefined) return;
    take(writer, answer);
  }
}

function take(writer: Writer, answer: Awaited<ReturnType<Client['sync']>>): void {
  writer.token = answer.next_batch;
  for (const event of answer.rooms?.join?.[writer.roomId]?.timeline?.events ?? []) {
    if (event.type === 'm.room.message') writer.seen.push(String(event.content['body']));
  }
}

/** How many of the messages the search index holds. */
async function found({ client, roomId }: Writer): Promise<number> {
  const criteria = { search_term: 'text', keys: ['content.body'], filter: { rooms: [roomId], limit: 1 } };
  const body = await client.must('POST', '/_matrix/client/v3/search', { search_categories: { room_events: criteria } });
  return (body as { search_categories: { room_events: { count: number } } }).search_categories.room_events.count;
}

test('SIGKILL under load loses nothing acknowledged, doubles nothing, and leaves a clean database', async () => {
  const next = random(20_261_121);
  const port = await freePort();
  const writers: Writer[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const server = await startServerProcess({ data, port });
    if (round === 0) {
      for (let index = 0; index < writerCount; index += 1) {
        const client = await registerAccount(server.baseUrl, `writer${index}`);
        const roomId = await client.createRoom();
        writers.push({
          client,
          roomId,
          acknowledged: new Map(),
          pending: undefined,
          count: 0,
          token: undefined,
          seen: [],
        });
      }
    }
    let dead = false;
    const work = writers.flatMap((writer) => [write(writer, () => dead), follow(writer, () => dead)]);
    await new Promise((done) => setTimeout(done, 50 + next() * 900));
    await server.kill();
    dead = true;
    await Promise.all(work);
    expect(await neurite(['verify', '--data', data])).toMatchObject({ status: 0, stdout: 'No difference found.\n' });
  }

  const server = await startServerProcess({ data, port });
  for (const writer of writers) {
    if (writer.pending !== undefined) {
      const answer = await writer.client.send(writer.roomId, writer.pending.transaction, writer.pending.text);
      writer.acknowledged.set(writer.pending.text, String(answer.body['event_id']));
    }
    // The token of before the last kill still works and goes on where it stopped.
    take(writer, await writer.client.sync(writer.token, 0, { room: { timeline: { limit: 1000 } } }));
    const history = (await writer.client.history(writer.roomId)).filter((event) => event.type === 'm.room.message');
    const texts = history.map((event) => String(event.content['body']));
    expect(new Set(texts).size).toBe(texts.length);
    expect(texts).toEqual([...writer.acknowledged.keys()]);
    expect(history.map((event) => event.event_id)).toEqual([...writer.acknowledged.values()]);
    expect(writer.seen).toEqual(texts);
    expect(await found(writer)).toBe(texts.length);
    writer.client.close();
  }
  process.stderr.write(`kill: ${rounds} kills, ${writers.reduce((sum, writer) => sum + writer.count, 0)} messages\n`);
  expect(await server.stop()).toBe(0);
  // Who searches has the index caught up: now it is compared word by word as well.
  expect(await neurite(['verify', '--data', data])).toEqual({
    status: 0,
    stdout: 'No difference found.\n',
    stderr: '',
  });
}, 1_800_000);
