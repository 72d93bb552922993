/** Receipts, the fully-read marker, typing. */
import { describe, expect, test } from '@jest/globals';
import { registerAll, openRoom, register, say, startUserServer, sync, v3 } from '../support/userapi.ts';

const enc = encodeURIComponent;

describe('receipts', () => {
  const receipt = (roomId: string, eventId: string, type = 'm.read') =>
    `${v3}/rooms/${enc(roomId)}/receipt/${type}/${enc(eventId)}`;

  test('move only forward, and private ones are seen by their owner alone', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const roomId = await openRoom(client, alice, bob);
    const first = await say(client, roomId, alice);
    const second = await say(client, roomId, alice);
    const receiptsOf = (answer: Awaited<ReturnType<typeof sync>>) =>
      answer.rooms?.join?.[roomId]?.ephemeral?.events.find(({ type }: { type: string }) => type === 'm.receipt')
        ?.content;
    let since = (await sync(client, alice)).next_batch;
    await client.post(receipt(roomId, second), {}, bob.token);
    await client.post(receipt(roomId, first), {}, bob.token);
    const seen = await sync(client, alice, since);
    expect(receiptsOf(seen)).toEqual({ [second]: { 'm.read': { [bob.userId]: { ts: expect.any(Number) } } } });
    since = seen.next_batch;
    await client.post(receipt(roomId, second, 'm.read.private'), {}, bob.token);
    expect(receiptsOf(await sync(client, alice, since))).toBeUndefined();
    expect(Object.keys(receiptsOf(await sync(client, bob, since))[second])).toEqual(['m.read.private']);
  });

  test('threads are checked and kept apart', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const root = await say(client, roomId, alice);
    const reply = await say(client, roomId, alice, { 'm.relates_to': { rel_type: 'm.thread', event_id: root } });
    const post = async (eventId: string, body: object, type?: string) => {
      const { status, json } = await client.post(receipt(roomId, eventId, type), body, alice.token);
      return status === 200 ? 200 : json.errcode;
    };
    expect(await post(reply, { thread_id: root })).toBe(200);
    expect(await post(root, { thread_id: 'main' })).toBe(200);
    expect(await post(reply, {})).toBe(200);
    for (const thread of ['', 7, 'main']) expect(await post(reply, { thread_id: thread })).toBe('M_INVALID_PARAM');
    expect(await post(root, { thread_id: 'main' }, 'm.fully_read')).toBe('M_INVALID_PARAM');
    expect(await post(root, {}, 'm.odd')).toBe('M_INVALID_PARAM');
    const { ephemeral } = (await sync(client, alice)).rooms.join[roomId];
    const threads = ephemeral.events.flatMap(({ content }: { content: Record<string, Record<string, object>> }) =>
      Object.values(content).map((types) => Object.values(types['m.read'] ?? {})),
    );
    expect(threads.flat().map(({ thread_id: id }: { thread_id?: string }) => id)).toEqual([root, 'main', undefined]);
    const reference = await say(client, roomId, alice, { 'm.relates_to': { rel_type: 'm.reference', event_id: root } });
    const reaction = { 'm.relates_to': { rel_type: 'm.annotation', event_id: reference, key: 'x' } };
    const mark = await say(client, roomId, alice, reaction);
    for (const thread of [root, 'main']) expect(await post(mark, { thread_id: thread })).toBe(200);
    for (const thread of [mark, reply]) expect(await post(reference, { thread_id: thread })).toBe('M_INVALID_PARAM');
  });

  test('the fully-read marker is room account data that only goes forward', async () => {
    await using server = await startUserServer();
    const { client } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const roomId = await openRoom(client, alice);
    const first = await say(client, roomId, alice);
    const second = await say(client, roomId, alice);
    const path = `${v3}/rooms/${enc(roomId)}/read_markers`;
    await client.post(path, { 'm.fully_read': second, 'm.read': second }, alice.token);
    await client.post(path, { 'm.fully_read': first }, alice.token);
    const data = `${v3}/user/${enc(alice.userId)}/rooms/${enc(roomId)}/account_data/m.fully_read`;
    expect((await client.get(data, alice.token)).json).toEqual({ event_id: second });
    expect((await client.post(path, { 'm.fully_read': first }, bob.token)).json.errcode).toBe('M_FORBIDDEN');
  });

  test('a receipt for an event that has not come yet waits for it', async () => {
    await using server = await startUserServer();
    const { client, users, modules, db } = server;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const room = db.read((snapshot) => modules.rooms.room(snapshot, roomId));
    if (room === undefined) throw new Error('no room');
    const user = alice.userId as never;
    const later = '$nMh3PqoKNyLVvgbOVD2ghCKZpD9k6nqRfFQqzBMlI4M' as never;
    const moved = await db.write((tx) =>
      users.receipts.set(tx, { room, user, type: 'm.read', threadId: null, eventId: later }),
    );
    expect(moved).toBe(false);
    expect(db.read((snapshot) => users.receipts.readMarkers(snapshot, room.nid, user))).toEqual([]);
  });
});

describe('typing', () => {
  test('lists change once per start and end, and time out', async () => {
    await using server = await startUserServer();
    const { client, clock, entries } = server;
    const [alice, bob, eve] = await registerAll(client, 'alice', 'bob', 'eve');
    const roomId = await openRoom(client, alice, bob);
    const path = (by: string) => `${v3}/rooms/${enc(roomId)}/typing/${enc(by)}`;
    const typing = (answer: Awaited<ReturnType<typeof sync>>) =>
      answer.rooms?.join?.[roomId]?.ephemeral?.events.find(({ type }: { type: string }) => type === 'm.typing')
        ?.content;
    let since = (await sync(client, bob)).next_batch;
    await client.put(path(alice.userId), { typing: true, timeout: 20_000 }, alice.token);
    await client.put(path(alice.userId), { typing: true, timeout: 30_000 }, alice.token);
    expect(entries.filter(({ topic }) => topic === 'room.typing')).toHaveLength(1);
    const seen = await sync(client, bob, since);
    expect(typing(seen)).toEqual({ user_ids: [alice.userId] });
    since = seen.next_batch;
    clock.advance(25_000);
    await Promise.resolve();
    expect(typing(await sync(client, bob, since))).toBeUndefined();
    clock.advance(6000);
    await Promise.resolve();
    expect(typing(await sync(client, bob, since))).toEqual({ user_ids: [] });
    expect((await client.put(path(alice.userId), { typing: true }, bob.token)).status).toBe(403);
    expect((await client.put(path(eve.userId), { typing: true }, eve.token)).status).toBe(403);
  });
});
