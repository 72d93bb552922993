/**
 * Three servers, twenty rooms, users who write, change state, kick and come back, clocks that differ, links that are cut
 * and servers that are killed or stand still: afterwards all servers show the same. `NEURITE_SOAK_SECONDS=600` runs it in
 * full; by default a short form with the same seed.
 */
import { afterAll, expect, test } from '@jest/globals';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { Links } from '../support/links.ts';
import { random } from '../support/random.ts';
import { joinBy, membershipBy } from '../support/rooms-between.ts';
import { neurite } from '../support/server-process.ts';
import { differences, Soak, viewOf, type SoakRoom } from '../support/soak.ts';
import { startSoakServer, type SoakServer } from '../support/soak-world.ts';
import { makeTestCa } from '../support/tls.ts';

const seconds = Number(process.env['NEURITE_SOAK_SECONDS'] ?? 15);
const isLong = seconds >= 120;
const seed = Number(process.env['NEURITE_SOAK_SEED'] ?? 20_261_121);
const roomCount = isLong ? 20 : 6;
const versions = ['12', '11', '10', '6', '8', '3', '11', '12', '2', '1'];
const paceMs = 60;

const links = new Links();
const servers: SoakServer[] = [];
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const say = (text: string): void => void process.stderr.write(`soak: ${text}\n`);

afterAll(async () => {
  for (const { process: running } of servers) {
    running().child.kill('SIGCONT');
    await running().kill();
  }
  await links[Symbol.asyncDispose]();
  for (const { data } of servers) {
    if (process.env['NEURITE_SOAK_KEEP'] === undefined) rmSync(data, { recursive: true, force: true });
    else say(`kept ${data}`);
  }
}, 60_000);

async function createRooms(): Promise<SoakRoom[]> {
  return Promise.all(
    Array.from({ length: roomCount }, async (_, index) => {
      const creator = servers[index % servers.length] as SoakServer;
      const version = versions[index % versions.length] ?? '12';
      const levelled = servers
        .map(({ anchor }) => anchor)
        .filter((anchor) => version !== '12' || anchor !== creator.anchor);
      const id = await creator.anchor.client.createRoom({
        preset: 'public_chat',
        room_version: version,
        power_level_content_override: { users: Object.fromEntries(levelled.map(({ userId }) => [userId, 100])) },
      });
      for (const { anchor, others } of servers) {
        if (anchor !== creator.anchor) expect((await joinBy(anchor.client, id, [creator.name])).status).toBe(200);
        for (const { client } of others) expect((await joinBy(client, id, [creator.name])).status).toBe(200);
      }
      return { id, creator: creator.anchor, isOpen: index % 4 === 3 };
    }),
  );
}

/** One trouble after the other until time is up. */
async function trouble(next: () => number, isOver: () => boolean): Promise<Record<string, number>> {
  const counts: Record<string, number> = { cuts: 0, isolations: 0, kills: 0, freezes: 0 };
  const note = (what: string): void => void (counts[what] = (counts[what] ?? 0) + 1);
  const longestMs = isLong ? 20_000 : 3000;
  while (!isOver()) {
    const [kind, length] = [next(), 500 + next() * longestMs];
    const from = Math.floor(next() * 3);
    const to = (from + 1 + Math.floor(next() * 2)) % 3;
    const server = servers[from] as SoakServer;
    if (kind < 0.3) {
      note('cuts');
      links.cut(from, to);
      if (kind < 0.2) links.cut(to, from);
      await pause(length);
    } else if (kind < 0.5) {
      note('isolations');
      for (const other of [0, 1, 2]) {
        links.cut(from, other);
        links.cut(other, from);
      }
      await pause(length);
    } else if (kind < 0.8) {
      note('kills');
      server.isUp = false;
      await server.process().kill();
      await pause(length / 4);
      await server.start();
    } else {
      note('freezes');
      server.process().child.kill('SIGSTOP');
      await pause(Math.min(length, 6000));
      server.process().child.kill('SIGCONT');
    }
    links.heal();
    await pause(next() * (isLong ? 5000 : 1000));
  }
  return counts;
}

/** Tries until it holds, or the time is over; then what was wrong last. */
async function until(limitMs: number, wrong: () => Promise<string[]>): Promise<string[]> {
  const end = Date.now() + limitMs;
  for (;;) {
    const lines = await wrong();
    if (lines.length === 0 || Date.now() > end) return lines;
    await pause(500);
  }
}

/** Everybody comes back, and speaks once after all the others were heard: then all stand on the same event. */
async function heal(soak: Soak, rooms: readonly SoakRoom[]): Promise<void> {
  for (const room of rooms) {
    for (const { anchor, name } of servers) {
      await until(60_000, async () => {
        if ((await membershipBy(anchor.client, room.id, anchor.client)) === 'join') return [];
        const others = servers.map((one) => one.name).filter((one) => one !== name);
        const { status, body } = await joinBy(anchor.client, room.id, others);
        return status === 200 ? [] : [JSON.stringify(body)];
      });
    }
  }
  for (const { anchor } of servers) {
    const last = await Promise.all(rooms.map(async (room) => ({ room, id: await soak.message(anchor, room) })));
    const missing = await until(isLong ? 120_000 : 60_000, async () => {
      const lines: string[] = [];
      for (const { room, id } of last) {
        for (const server of servers) {
          const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/event/${encodeURIComponent(id ?? '')}`;
          const { status } = await server.anchor.client.ask('GET', path);
          if (status !== 200) lines.push(`${server.anchor.userId} lacks ${id} of ${anchor.userId} in ${room.id}`);
        }
      }
      return lines;
    });
    expect(missing).toEqual([]);
  }
}

async function disagreements(soak: Soak, rooms: readonly SoakRoom[]): Promise<string[]> {
  const anchors = new Set(servers.map(({ anchor }) => anchor.userId));
  const lines: string[] = [];
  for (const room of rooms) {
    const views = await Promise.all(servers.map((server) => viewOf(server, room, anchors)));
    const [first] = views;
    for (const [index, view] of views.entries()) {
      const { name } = servers[index] as SoakServer;
      if (first !== undefined) lines.push(...differences(first, view).map((line) => `${room.id} ${name}: ${line}`));
      for (const { room: told, user, eventId } of soak.acknowledged) {
        if (told === room && user.isAnchor && !view.timeline.has(eventId))
          lines.push(`${room.id} ${name} lost ${eventId}`);
      }
    }
  }
  return lines;
}

/** As in the database: hashes are kept as their bytes. */
const storedId = (eventId: string): Buffer | string =>
  /^\$[\w-]{43}$/.test(eventId) ? Buffer.from(eventId.slice(1), 'base64url') : eventId;

/** Events of whom others had banned meanwhile are shown to nobody there; but each server has them. */
function lost(soak: Soak): string[] {
  return servers.flatMap(({ name, data }) => {
    const database = new SqliteDatabase(join(data, 'neurite.db'), { readonly: true });
    const find = database.prepare('SELECT 1 FROM room_events WHERE event_id = ?');
    const lines = soak.acknowledged
      .filter(({ room, eventId }) => !room.isOpen && find.get(storedId(eventId)) === undefined)
      .map(({ room, eventId, user }) => `${name} lacks ${eventId} of ${user.userId} in ${room.id}`);
    database.close();
    return lines;
  });
}

test('servers that were cut off, frozen and killed show the same rooms in the end, and lose nothing that was answered', async () => {
  const ca = makeTestCa();
  for (const index of [0, 1, 2]) servers.push(await startSoakServer(index, ca, links));
  const rooms = await createRooms();
  const next = random(seed);
  const soak = new Soak({ servers, rooms, next });
  const end = Date.now() + seconds * 1000;
  const isOver = (): boolean => Date.now() > end;
  const troubles = trouble(random(seed + 1), isOver);
  while (!isOver()) {
    soak.act();
    await pause(paceMs);
  }
  const counts = await troubles;
  await soak.settle();
  say(`${soak.acknowledged.length} events answered, ${JSON.stringify(counts)}`);
  const began = Date.now();
  await heal(soak, rooms);
  expect(await until(isLong ? 120_000 : 30_000, () => disagreements(soak, rooms))).toEqual([]);
  say(`healed after ${Date.now() - began} ms`);
  for (const { process: running } of servers) expect(await running().stop()).toBe(0);
  expect(lost(soak)).toEqual([]);
  for (const { data, name } of servers) {
    const verified = await neurite(['verify', '--data', data, '--set', `server_name=${name}`]);
    expect(verified).toMatchObject({ status: 0, stdout: 'No difference found.\n' });
  }
}, 1_800_000);
