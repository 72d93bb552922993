/** Tokens and the pushed /sync as clients meet them, over HTTP and WebSocket. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import WebSocket from 'ws';
import {
  openRoom,
  register,
  say,
  startUserServer,
  sync,
  v3,
  type TestSession,
  type UserServer,
} from '../support/userapi.ts';

let server: UserServer;
let alice: TestSession;
let bob: TestSession;
beforeEach(async () => {
  server = await startUserServer();
  alice = await register(server.client, 'alice');
  bob = await register(server.client, 'bob');
});
afterEach(async () => server[Symbol.asyncDispose]());

describe('tokens over HTTP', () => {
  test.each(['x', '-1', '1.5', 's1_2', '99999999999999999999', '1 2'])(
    'a malformed token is 400 M_INVALID_PARAM: %s',
    async (token) => {
      const { status, json } = await server.client.get(`${v3}/sync?since=${encodeURIComponent(token)}`, alice.token);
      expect([status, json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
    },
  );

  test('one beyond the head is answered as an initial sync', async () => {
    const roomId = await openRoom(server.client, alice);
    const body = await sync(server.client, alice, '9007199254740991');
    expect(
      body.rooms.join[roomId].state.events.length + body.rooms.join[roomId].timeline.events.length,
    ).toBeGreaterThan(4);
  });

  test('back-pagination from prev_batch meets every event once', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    const sent: string[] = [];
    for (let index = 0; index < 30; index += 1)
      sent.push(await say(server.client, roomId, alice, { body: `${index}` }));
    const { timeline } = (await sync(server.client, bob)).rooms.join[roomId];
    const ids: string[] = timeline.events.map((event: { event_id: string }) => event.event_id);
    let from: string | undefined = timeline.prev_batch;
    while (from !== undefined) {
      const path: string = `${v3}/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=7&from=${from}`;
      const { json } = await server.client.get(path, bob.token);
      ids.unshift(...json.chunk.map((event: { event_id: string }) => event.event_id).reverse());
      from = json.end;
    }
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.slice(-30)).toEqual(sent);
  });
});

describe('/sync pushed over a WebSocket', () => {
  const open = (query: string, token: string): WebSocket =>
    new WebSocket(`${server.client.url.replace('http', 'ws')}/_matrix/client/unstable/org.neurite.sync/ws${query}`, {
      headers: { Authorization: `Bearer ${token}` },
    });
  const frame = async (socket: WebSocket) => JSON.parse(String(((await once(socket, 'message')) as [Buffer])[0]));

  test('each frame is the response that a long poll from the same token gives', async () => {
    const roomId = await openRoom(server.client, alice, bob);
    const since: string = (await sync(server.client, bob)).next_batch;
    await say(server.client, roomId, alice, { body: 'one' });
    const polled = await sync(server.client, bob, since);
    const socket = open(`?since=${since}`, bob.token);
    const first = await frame(socket);
    expect(first).toEqual(polled);
    const next = frame(socket);
    await say(server.client, roomId, alice, { body: 'two' });
    const second = await next;
    expect(
      second.rooms.join[roomId].timeline.events.map((event: { content: { body: string } }) => event.content.body),
    ).toEqual(['two']);
    expect(Number(second.next_batch)).toBeGreaterThan(Number(first.next_batch));
    socket.close();
    await once(socket, 'close');
  });

  test('a malformed token is the last frame, an error', async () => {
    const socket = open('?since=x', bob.token);
    expect(await frame(socket)).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    await once(socket, 'close');
  });

  test('messages to a device stay until the client says which frame it has', async () => {
    const path = `${v3}/sendToDevice/m.test/t1`;
    const since: string = (await sync(server.client, bob)).next_batch;
    const socket = open(`?since=${since}`, bob.token);
    const next = frame(socket);
    await server.client.put(path, { messages: { [bob.userId]: { [bob.deviceId]: { a: 1 } } } }, alice.token);
    const got = await next;
    expect(got.to_device.events).toHaveLength(1);
    socket.close();
    await once(socket, 'close');
    // The frame may have been lost: from the old token it comes again.
    expect((await sync(server.client, bob, since)).to_device.events).toHaveLength(1);
    expect((await sync(server.client, bob, got.next_batch)).to_device).toBeUndefined();
  });
});
