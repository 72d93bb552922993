/** Servers that mean no good, and how little they get: time, memory, places in rooms (S-S API v1.19 §PDUs, §Security). */
import { describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { sql } from '../../src/storage/index.ts';
import { until } from '../support/intake.ts';
import { hang } from '../support/room-peer.ts';
import { useIntake } from '../support/intake-scene.ts';

const scene = useIntake();

const countOf = (table: string) => sql<[], { count: number }>(`SELECT count(*) AS count FROM ${table}`);

/** What another server sends is taken meanwhile, within a second. */
async function othersGoOn(): Promise<void> {
  const other = await scene.world.peerWithRoom('other.test');
  const good = other.room.message(other.pat, 'good');
  const began = performance.now();
  expect((await scene.world.send(other.peer.name, [good])).json.pdus).toEqual({ [good.eventId]: {} });
  expect(performance.now() - began).toBeLessThan(1000);
  await other.peer[Symbol.asyncDispose]();
}

describe('keys', () => {
  test('that were no longer valid when an event was made leave it out', async () => {
    scene.peer.peer.keys.validUntil = () => 1_000;
    const event = scene.room.message(scene.pat, 'signed with a key that may have been stolen since');
    const answer = await scene.results([event]);
    expect(scene.world.verdict(event.eventId)).toBe('unknown');
    expect(answer[event.eventId]).toBeDefined();
    expect(scene.world.timeline(scene.room)).not.toContain(event.eventId);
    await othersGoOn();
  });
});

describe('auth chains', () => {
  test('of a thousand events are fetched in few answers, and stored once', async () => {
    const [levels, member] = scene.authOf() as [string, string];
    const tip = scene.room.events.at(-1) as RoomEvent;
    const create = scene.room.events[0]?.eventId as EventId;
    const chain: RoomEvent[] = [];
    const base = scene.room.rules.version === '12' ? [] : [create];
    const rules = scene.room.ids(scene.room.currentState())['m.room.join_rules|'] as EventId;
    for (let n = 0; n < 1000; n += 1) {
      const last = chain.at(-1)?.eventId ?? member;
      chain.push(
        scene.fork(
          scene.pat,
          'm.room.member',
          { membership: 'join', n },
          [tip.eventId],
          [...base, levels, rules, last],
          scene.pat,
        ),
      );
    }
    const end = chain.at(-1) as RoomEvent;
    const event = scene.fork(scene.pat, 'm.room.message', { body: 'x' }, [tip.eventId], [...base, levels, end.eventId]);
    const known = new Map<string, RoomEvent>(chain.map((one) => [one.eventId, one]));
    scene.peer.scripts.set('event', (_request, url) => {
      const found = known.get(decodeURIComponent(url.pathname.split('/').at(-1) ?? ''));
      return found && { pdus: [found.pdu] };
    });
    scene.peer.scripts.set('event_auth', () => ({
      auth_chain: [...scene.room.events, ...chain].map(({ pdu }) => pdu),
    }));
    await scene.results([event]);
    await until(() => scene.world.verdict(event.eventId) !== 'unknown');
    expect(scene.world.verdict(end.eventId)).toBe('outlier');
    expect(scene.peer.asked('event')).toBeLessThan(30);
    expect(scene.world.verify()).toEqual([]);
    await othersGoOn();
  });
});

describe('answers', () => {
  test('without end are cut off, and the room goes on when an honest one comes', async () => {
    let sent = 0;
    let isCut = false;
    scene.peer.scripts.set('get_missing_events', (_request, _url, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.write('{"events":[');
      const more = (): void => {
        while (!response.destroyed && response.write(`{"type":"${'x'.repeat(60_000)}"},`)) sent += 60_000;
        if (!response.destroyed) response.once('drain', more);
      };
      response.once('close', () => (isCut = true));
      more();
      return hang;
    });
    scene.room.message(scene.pat, 'not sent');
    const event = scene.room.message(scene.pat, 'sent');
    const before = process.memoryUsage().rss;
    await scene.results([event]);
    await until(() => isCut);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024);
    scene.peer.scripts.delete('get_missing_events');
    const next = scene.room.message(scene.pat, 'next');
    await scene.results([next]);
    await until(() => scene.world.verdict(next.eventId) === 'accepted');
    await othersGoOn();
  });
});

test('ten thousand events of no worth leave nothing behind', async () => {
  const template = scene.room.make({ type: 'm.room.message', sender: scene.pat, content: { body: 'junk' } });
  const { signatures, ...pdu } = template.pdu;
  const junk = (n: number): string =>
    JSON.stringify({
      ...pdu,
      ...(n % 2 === 0 ? { signatures } : {}),
      ...(n % 5 === 0 ? { room_id: `!${n}:nowhere.test` } : {}),
      ...{ origin_server_ts: n, prev_events: [`$${'x'.repeat(37)}${100_000 + n}`] },
    });
  const rows = (): number =>
    ['room_events', 'room_missing', 'federation_staged']
      .map((table) =>
        Number(Object.values(scene.world.rooms.db.read((snapshot) => snapshot.get(countOf(table))) ?? {})[0]),
      )
      .reduce((sum, count) => sum + count, 0);
  const before = { rows: rows(), rss: process.memoryUsage().rss };
  const lane = async (first: number): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) {
      const texts = Array.from({ length: 50 }, (_, n) => junk(first + turn * 50 + n));
      // It may be told to come later, and does.
      const answer = await scene.world.send(scene.peer.name, texts);
      if (answer.status === 429) turn -= 1;
      else expect(answer.status).toBe(200);
    }
  };
  const flood = Promise.all([0, 2500, 5000, 7500].map(lane));
  await othersGoOn();
  await othersGoOn();
  await flood;
  await until(() => scene.world.staged() === 0);
  // What two other servers brought with them meanwhile: their rooms.
  expect(rows() - before.rows).toBeLessThan(30);
  expect(process.memoryUsage().rss - before.rss).toBeLessThan(400 * 1024 * 1024);
  expect(await scene.results([scene.room.message(scene.pat, 'fine')])).toEqual({
    [scene.room.events.at(-1)?.eventId ?? '']: {},
  });
}, 120_000);
