import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import type { JsonObject } from '../../src/matrix/json.ts';
import { testConfig, type TestResponse } from '../support/http.ts';
import { bodies, type SyncBody } from '../support/sync.ts';
import { openRoom, register, say, startUserServer, type TestSession, type UserServer } from '../support/userapi.ts';

const v3 = '/_matrix/client/v3';
const socketPath = '/_matrix/client/unstable/org.neurite.sync/ws';

let server: UserServer;
let alice: TestSession;
let bob: TestSession;
beforeAll(async () => {
  server = await startUserServer({ registration: { ...testConfig().registration, mode: 'open', guests: true } });
  alice = await register(server.client, 'alice');
  bob = await register(server.client, 'bob');
});
afterAll(async () => server[Symbol.asyncDispose]());

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const queryOf = (query: Record<string, string | number | boolean>): string =>
  Object.entries(query)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .join('&');
const ask = (who: TestSession, query: Record<string, string | number | boolean> = {}): Promise<TestResponse> =>
  server.client.get(`${v3}/sync?${queryOf(query)}`, who.token);
const sync = async (who: TestSession, query: Record<string, string | number | boolean> = {}): Promise<SyncBody> => {
  const { status, json, text } = await ask(who, query);
  if (status !== 200) throw new Error(text);
  return json as SyncBody;
};
const untilParked = async (count = 1): Promise<void> => {
  while (server.modules.sync.notifier.parked < count) await turn();
};

describe('GET /sync', () => {
  test('a malformed token is 400 M_INVALID_PARAM', async () => {
    for (const since of ['abc', '-1', '1.5', '1e3', 's12_3', '99999999999999999999']) {
      const { status, json } = await ask(alice, { since });
      expect([since, status, json.errcode]).toEqual([since, 400, 'M_INVALID_PARAM']);
    }
    expect((await ask(alice, { since: '' })).status).toBe(200);
  });

  test('other parameters are checked, and a token is asked for', async () => {
    for (const query of [{ timeout: 'soon' }, { full_state: 'yes' }, { set_presence: 'busy' }]) {
      expect((await ask(alice, query)).json).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    }
    expect((await server.client.get(`${v3}/sync`)).json).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
  });

  test('a filter is an uploaded one by its id, or JSON', async () => {
    const roomId = await openRoom(server.client, alice);
    await say(server.client, roomId, alice, { body: 'filtered' });
    const filter = { room: { rooms: [roomId], timeline: { types: ['m.room.message'] } } };
    const path = `${v3}/user/${encodeURIComponent(alice.userId)}/filter`;
    const { json: uploaded } = await server.client.post(path, filter, alice.token);
    for (const text of [uploaded.filter_id, JSON.stringify(filter)]) {
      expect(bodies((await sync(alice, { filter: text })).rooms?.join?.[roomId])).toEqual(['filtered']);
    }
    const codes = async (text: string): Promise<unknown> => (await ask(alice, { filter: text })).json.errcode;
    expect(await codes('{"room":')).toBe('M_NOT_JSON');
    expect(await codes('{"room":{"timeline":{"limit":-1}}}')).toBe('M_BAD_JSON');
    expect(await codes('{"room":{"state":{"lazy_load_members":"true"}}}')).toBe('M_BAD_JSON');
    expect(await codes('no-such-filter')).toBe('M_INVALID_PARAM');
  });

  test('use_state_after and its unstable name', async () => {
    const roomId = await openRoom(server.client, alice);
    const named = async (name: string): Promise<string[]> =>
      Object.keys((await sync(alice, { [name]: true })).rooms?.join?.[roomId] ?? {});
    expect(await named('use_state_after')).toContain('state_after');
    expect(await named('org.matrix.msc4222.use_state_after')).toContain('org.matrix.msc4222.state_after');
    expect(await named('use_state_after')).not.toContain('state');
  });

  test('waits for what concerns the user, and answers at once with it', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    const { next_batch: since } = await sync(bob, { set_presence: 'offline' });
    const waiting = sync(bob, { since, timeout: 30_000, set_presence: 'offline' });
    await untilParked();
    await say(server.client, roomId, alice, { body: 'ring' });
    expect(bodies((await waiting).rooms?.join?.[roomId])).toEqual(['ring']);
  });

  test('a client that hangs up ends its wait', async () => {
    const { next_batch: since } = await sync(bob);
    const controller = new AbortController();
    const query = queryOf({ since, timeout: 30_000, set_presence: 'offline' });
    const gone = fetch(`${server.url}${v3}/sync?${query}`, {
      headers: { authorization: `Bearer ${bob.token}` },
      signal: controller.signal,
    }).catch((error: unknown) => error);
    await untilParked();
    controller.abort();
    expect(await gone).toMatchObject({ name: 'AbortError' });
    while (server.modules.sync.notifier.parked > 0) await turn();
  });

  test('back-pagination from prev_batch meets every event once, up to the start of the room', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    for (let index = 0; index < 30; index += 1) await say(server.client, roomId, alice, { body: `${index}` });
    const joined = (await sync(alice)).rooms?.join?.[roomId];
    const seen = joined?.timeline.events.map(({ event_id: id }) => id) ?? [];
    let from: string | undefined = joined?.timeline.prev_batch;
    let first = '';
    while (from !== undefined) {
      const path: string = `${v3}/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=7&from=${from}`;
      const { json } = await server.client.get(path, alice.token);
      for (const event of json.chunk) {
        seen.unshift(event.event_id);
        first = event.type;
      }
      from = json.end;
    }
    expect(first).toBe('m.room.create');
    expect(new Set(seen).size).toBe(seen.length);
    const whole = await sync(alice, { filter: '{"room":{"timeline":{"limit":1000}}}' });
    expect(seen).toEqual(whole.rooms?.join?.[roomId]?.timeline.events.map(({ event_id: id }) => id));
  });

  test('the transaction id is for the sending device only', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    const { next_batch: since } = await sync(alice);
    const path = `${v3}/rooms/${encodeURIComponent(roomId)}/send/m.room.message/mine`;
    await server.client.put(path, { body: 'x' }, alice.token);
    const unsigned = async (who: TestSession): Promise<JsonObject | undefined> =>
      (await sync(who, { since })).rooms?.join?.[roomId]?.timeline.events[0]?.unsigned;
    expect(await unsigned(alice)).toMatchObject({ transaction_id: 'mine', membership: 'join' });
    expect(await unsigned(bob)).not.toHaveProperty('transaction_id');
  });

  test('guests sync as well', async () => {
    const { json } = await server.client.post(`${v3}/register?kind=guest`, {});
    expect((await server.client.get(`${v3}/sync`, json.access_token)).status).toBe(200);
  });
});

describe('/sync over a WebSocket', () => {
  const open = async (who: TestSession, query: Record<string, string> = {}) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}${socketPath}?${queryOf(query)}`, ['m.json'], {
      headers: { authorization: `Bearer ${who.token}` },
    });
    const frames: SyncBody[] = [];
    const waiting: ((body: SyncBody) => void)[] = [];
    socket.on('message', (data: Buffer) => {
      const body = JSON.parse(data.toString()) as SyncBody;
      const resolve = waiting.shift();
      if (resolve === undefined) frames.push(body);
      else resolve(body);
    });
    const next = (): Promise<SyncBody> => {
      const frame = frames.shift();
      return frame === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(frame);
    };
    await once(socket, 'open');
    return { socket, next };
  };

  test('each frame is one response, and the next goes on from its next_batch', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    const { socket, next } = await open(bob, { set_presence: 'offline' });
    const first = await next();
    expect(first.rooms?.join).toHaveProperty([roomId]);
    await untilParked();
    await say(server.client, roomId, alice, { body: 'one' });
    const second = await next();
    expect(bodies(second.rooms?.join?.[roomId])).toEqual(['one']);
    await untilParked();
    await say(server.client, roomId, alice, { body: 'two' });
    expect(bodies((await next()).rooms?.join?.[roomId])).toEqual(['two']);
    socket.close();
    await once(socket, 'close');
    while (server.modules.sync.notifier.parked > 0) await turn();
    // The same code path: a long poll from a frame's token gives what the next frame gave.
    expect(bodies((await sync(bob, { since: second.next_batch })).rooms?.join?.[roomId])).toEqual(['two']);
  });

  test('messages to the device are kept until the client says which frame it has', async () => {
    const waiting = (): number =>
      server.db.read((snapshot) =>
        server.users.syncData.toDevice(
          snapshot,
          bob.userId as never,
          bob.deviceId,
          0 as never,
          Number.MAX_SAFE_INTEGER as never,
          10,
        ),
      ).length;
    const { next_batch: since } = await sync(bob, { set_presence: 'offline' });
    const { socket, next } = await open(bob, { since, set_presence: 'offline' });
    await untilParked();
    const send = (index: number): Promise<TestResponse> =>
      server.client.put(
        `${v3}/sendToDevice/m.test/${Math.random()}`,
        { messages: { [bob.userId]: { [bob.deviceId]: { index } } } },
        alice.token,
      );
    await send(0);
    const frame = await next();
    expect(frame.to_device?.events).toHaveLength(1);
    await untilParked();
    expect(waiting()).toBe(1);
    socket.send(frame.next_batch);
    await turn();
    await send(1);
    const last = await next();
    expect(last.to_device?.events.map(({ content }) => content['index'])).toEqual([1]);
    while (waiting() > 1) await turn();
    socket.close();
    await once(socket, 'close');
  });

  test('a malformed token is the last frame', async () => {
    const { socket, next } = await open(bob, { since: 'abc' });
    expect(await next()).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    await once(socket, 'close');
  });
});

test('a server that stops answers its long polls with their own token', async () => {
  await using stopping = await startUserServer();
  const carol = await register(stopping.client, 'carol');
  const { json: first } = await stopping.client.get(`${v3}/sync?set_presence=offline`, carol.token);
  const query = queryOf({ since: first.next_batch, timeout: 30_000, set_presence: 'offline' });
  const waiting = stopping.client.get(`${v3}/sync?${query}`, carol.token);
  while (stopping.modules.sync.notifier.parked === 0) await turn();
  const stopped = stopping.stop(5000);
  const { status, json } = await waiting;
  expect([status, json]).toEqual([200, { next_batch: first.next_batch }]);
  await stopped;
});
