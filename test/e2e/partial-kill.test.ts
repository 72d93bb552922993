/** SIGKILL while a room is joined without its members and while they are fetched: it becomes whole, and nothing is wrong. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '../support/client.ts';
import { PartialResident } from '../support/partial-resident.ts';
import { type ResidentRoom } from '../support/resident-room.ts';
import { eventually, isIn, lazySync, sync } from '../support/partial-scene.ts';
import { joinBy } from '../support/rooms-between.ts';
import {
  freePort,
  neurite,
  type ServerProcess,
  startServerProcess,
  temporaryFolder,
} from '../support/server-process.ts';
import { makeTestCa } from '../support/tls.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 2);
const v3 = '/_matrix/client/v3';
const ca = makeTestCa();
const data = temporaryFolder();
let resident: PartialResident;
beforeAll(async () => {
  resident = await PartialResident.start(ca);
}, 60_000);
afterAll(async () => {
  await resident[Symbol.asyncDispose]();
  rmSync(data, { recursive: true, force: true });
});

/** The server under test, always with the same name and folder; `set` are its `--set` options. */
async function starter(): Promise<{ name: string; start: () => Promise<ServerProcess>; options: readonly string[] }> {
  const [port, clientPort] = [await freePort(), await freePort()];
  const { cert, key } = ca.issue('localhost');
  const files = { ca: join(data, 'ca.pem'), cert: join(data, 'cert.pem'), key: join(data, 'key.pem') };
  for (const [file, text] of [[files.ca, ca.cert] as const, [files.cert, cert] as const, [files.key, key] as const])
    writeFileSync(file, text);
  const listeners = [
    { address: '127.0.0.1', port: clientPort, resources: ['client', 'federation'] },
    { address: '127.0.0.1', port, tls: { cert: files.cert, key: files.key }, resources: ['federation'] },
  ];
  const set = {
    server_name: `localhost:${port}`,
    listeners: JSON.stringify(listeners),
    'federation.allow_networks': '["127.0.0.0/8", "::1/128"]',
    'federation.ca_file': files.ca,
  };
  return {
    name: set.server_name,
    start: () => startServerProcess({ data, port: clientPort, set }),
    options: ['--data', data, ...Object.entries(set).flatMap(([name, value]) => ['--set', `${name}=${value}`])],
  };
}

const account = { username: 'alice', password: 'correct horse battery', auth: { type: 'm.login.dummy' } };

test('a server that is killed again and again completes the rooms that its user has joined', async () => {
  const { name, start, options } = await starter();
  let server = await start();
  const { user_id, device_id, access_token } = await new Client(server.baseUrl).must('POST', `${v3}/register`, account);
  const [userId, deviceId, token] = [user_id, device_id, access_token].map(String);
  const client = (): Client =>
    new Client(server.baseUrl, { userId: userId ?? '', deviceId: deviceId ?? '', token: token ?? '' });
  const rooms: ResidentRoom[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const room = resident.openRoom();
    rooms.push(room);
    for (let index = 0; index < 20; index += 1) room.room.join(resident.user(`member${index}`));
    // Killed at some moment of the join.
    const joining = joinBy(client(), room.id, [resident.name]).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, round * 40));
    await server.kill();
    await joining;
    server = await start();
    expect((await joinBy(client(), room.id, [resident.name])).status).toBe(200);
    const said = room.room.message(resident.user('derek'), 'hi');
    await resident.send({ name, baseUrl: server.baseUrl }, [said]);
    // And at some moment of the resync.
    await room.stateAsked();
    room.release();
    await new Promise((resolve) => setTimeout(resolve, round * 15));
    await server.kill();
    server = await start();
    await eventually(
      () => sync(client()),
      (answer) => isIn(answer, room),
    );
    const { joined } = await client().must('GET', `${room.path}/joined_members`);
    expect(Object.keys(joined as object)).toHaveLength(23);
    expect((await client().history(room.id)).some(({ event_id: id }) => id === said.eventId)).toBe(true);
  }
  const verified = await neurite(['verify', ...options]);
  expect([verified.status, verified.stdout]).toEqual([0, 'No difference found.\n']);

  // What an operator sees of one that is not whole, and does about it.
  const waiting = resident.openRoom();
  expect((await joinBy(client(), waiting.id, [resident.name])).status).toBe(200);
  await waiting.stateAsked();
  const list = await neurite(['rooms', 'partial', ...options]);
  expect([list.status, list.stdout]).toEqual([
    0,
    expect.stringContaining(`${waiting.id}  for 0 min  via ${resident.name}`),
  ]);
  const retried = await neurite(['rooms', 'partial', ...options, '--retry', waiting.id]);
  expect([retried.status, retried.stdout]).toEqual([0, expect.stringContaining(waiting.id)]);
  const aborted = await neurite(['rooms', 'partial', ...options, '--abort', waiting.id]);
  expect([aborted.status, aborted.stdout]).toEqual([0, expect.stringContaining(waiting.id)]);
  expect(isIn(await lazySync(client()), waiting)).toBe(false);
  expect((await neurite(['rooms', 'partial', ...options])).stdout).toContain('No room waits');
  await server.stop();
}, 180_000);
