/** SIGKILL while events go to another server: what was answered with 200 reaches it, each once and in order. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '../support/client.ts';
import { joinBy } from '../support/rooms-between.ts';
import { freePort, startServerProcess, temporaryFolder, type ServerProcess } from '../support/server-process.ts';
import { startServer, type FederatedServer } from '../support/servers.ts';
import { makeTestCa } from '../support/tls.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 3);
const ca = makeTestCa();
const data = temporaryFolder();
let other: FederatedServer;
beforeAll(async () => {
  other = await startServer(ca);
}, 60_000);
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  rmSync(data, { recursive: true, force: true });
});

/** Our server, always with the same name and folder. */
async function starter(): Promise<{ readonly name: string; readonly start: () => Promise<ServerProcess> }> {
  const [port, clientPort] = [await freePort(), await freePort()];
  const { cert, key } = ca.issue('localhost');
  const files = { ca: join(data, 'ca.pem'), cert: join(data, 'cert.pem'), key: join(data, 'key.pem') };
  for (const [file, text] of [
    [files.ca, ca.cert],
    [files.cert, cert],
    [files.key, key],
  ] as const) {
    writeFileSync(file, text);
  }
  const listeners = [
    { address: '127.0.0.1', port: clientPort, resources: ['client', 'admin'] },
    { address: '127.0.0.1', port, tls: { cert: files.cert, key: files.key }, resources: ['federation'] },
  ];
  const set = {
    server_name: `localhost:${port}`,
    listeners: JSON.stringify(listeners),
    'federation.allow_networks': '["127.0.0.0/8", "::1/128"]',
    'federation.ca_file': files.ca,
  };
  return { name: `localhost:${port}`, start: () => startServerProcess({ data, port: clientPort, set }) };
}

const messages = async (reader: Client, roomId: string) =>
  (await reader.history(roomId)).filter(({ type }) => type === 'm.room.message');

test('every event that was answered reaches the other server, in order, whatever is killed in between', async () => {
  const { name, start } = await starter();
  const bob = await other.user('bob');
  const told: string[] = [];
  let session: Client | undefined;
  let roomId = '';
  for (let round = 0; round <= rounds; round += 1) {
    const server = await start();
    if (session === undefined) {
      const account = { username: 'alice', password: 'correct horse battery', auth: { type: 'm.login.dummy' } };
      const body = await new Client(server.baseUrl).must('POST', '/_matrix/client/v3/register', account);
      const [userId, deviceId, token] = [String(body.user_id), String(body.device_id), String(body.access_token)];
      session = new Client(server.baseUrl, { userId, deviceId, token });
      roomId = await session.createRoom({ preset: 'public_chat' });
      expect((await joinBy(bob, roomId, [name])).status).toBe(200);
    }
    const alice = session;
    const send = async (id: string): Promise<void> => {
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${id}`;
      const sent = await alice.ask('PUT', path, { msgtype: 'm.text', body: id }).catch(() => undefined);
      if (sent?.status === 200) told.push(String(sent.body.event_id));
    };
    if (round === rounds) {
      await send('last');
      const isThere = async (): Promise<boolean> =>
        (await messages(bob, roomId)).some(({ content }) => content['body'] === 'last');
      while (!(await isThere())) await new Promise((done) => setTimeout(done, 50));
      await server.stop();
      break;
    }
    let dead = false;
    const sending = (async () => {
      for (let count = 0; !dead; count += 1) await send(`${round}-${count}`);
    })();
    const before = told.length;
    while (told.length < before + 20) await new Promise((done) => setTimeout(done, 10));
    await server.kill();
    dead = true;
    await sending;
  }
  const received = (await messages(bob, roomId)).map(({ event_id: id }) => id);
  expect(told.length).toBeGreaterThan(rounds * 20);
  expect(new Set(received).size).toBe(received.length);
  // One that was not answered may be there as well: it was on disk when the server was killed.
  const answered = new Set(told);
  expect(received.filter((id) => answered.has(id))).toEqual(told);
}, 120_000);
