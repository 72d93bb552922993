import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testConfig, type TestResponse } from '../support/http.ts';
import { Actor, roomPath, v3 } from '../support/rooms.ts';
import { register, startUserServer, type UserServer } from '../support/userapi.ts';

const v1 = '/_matrix/client/v1';

let server: UserServer;
let alice: Actor;
let bob: Actor;
let guest: Actor;
const tokens = new Map<Actor, string>();

const actor = async (name: string, kind = ''): Promise<Actor> => {
  const body = kind === '' ? { username: name, password: 'correct horse', auth: { type: 'm.login.dummy' } } : {};
  const { json } = await server.client.post(`${v3}/register${kind}`, body);
  const one = new Actor(server.client, json.user_id, json.access_token);
  tokens.set(one, json.access_token);
  return one;
};
/** A path from the root, with a query. */
const get = (who: Actor, path: string, query: Record<string, string | number> = {}): Promise<TestResponse> => {
  const text = Object.entries(query)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join('&');
  return server.client.get(`${path}${text === '' ? '' : `?${text}`}`, tokens.get(who));
};
const messages = (who: Actor, roomId: string, query: Record<string, string | number> = {}): Promise<TestResponse> =>
  get(who, `${v3}${roomPath(roomId)}/messages`, query);
const bodies = ({ json }: TestResponse): unknown[] =>
  json.chunk.map(({ type, content }: { type: string; content: { body?: string } }) => content.body ?? type);
const codeOf = ({ status, json }: TestResponse): unknown => [status, json.errcode];

beforeAll(async () => {
  const { registration } = testConfig();
  server = await startUserServer({ registration: { ...registration, mode: 'open', guests: true } });
  expect((await register(server.client, 'nobody')).userId).toBe('@nobody:localhost');
  alice = await actor('alice');
  bob = await actor('bob');
  guest = await actor('', '?kind=guest');
});
afterAll(async () => server[Symbol.asyncDispose]());

const openRoom = async (body: object = {}): Promise<string> => {
  const roomId = await alice.createRoom({ preset: 'public_chat', ...body });
  await bob.change(roomId, 'join');
  return roomId;
};
const show = (roomId: string): Promise<TestResponse> =>
  alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'world_readable' });

describe('GET /rooms/{roomId}/messages', () => {
  test('shares its tokens with /sync', async () => {
    const roomId = await openRoom();
    for (let index = 0; index < 15; index++) await alice.sent(roomId, { body: `${index}` });
    const { json: sync } = await get(alice, `${v3}/sync`, { filter: '{"room":{"timeline":{"limit":5}}}' });
    const { timeline } = sync.rooms.join[roomId];
    const older = await messages(alice, roomId, { dir: 'b', from: timeline.prev_batch, limit: 3 });
    expect(bodies(older)).toEqual(['9', '8', '7']);
    await alice.sent(roomId, { body: 'new' });
    expect(bodies(await messages(alice, roomId, { dir: 'f', from: sync.next_batch }))).toEqual(['new']);
    const forwards = await messages(alice, roomId, { dir: 'f', from: timeline.prev_batch, to: sync.next_batch });
    expect(bodies(forwards)).toEqual(['10', '11', '12', '13', '14']);
    const members = await get(alice, `${v3}${roomPath(roomId)}/members`, { at: timeline.prev_batch });
    expect(members.json.chunk).toHaveLength(2);
  });

  test('refuses what it cannot understand', async () => {
    const roomId = await openRoom();
    const invalid = [400, 'M_INVALID_PARAM'];
    expect(codeOf(await messages(alice, roomId))).toEqual([400, 'M_MISSING_PARAM']);
    for (const query of [
      { dir: 'x' },
      { dir: 'b', limit: 'ten' },
      { dir: 'b', limit: -1 },
      { dir: 'b', from: 'nonsense' },
      { dir: 'b', to: 's12_1' },
    ]) {
      expect([query, codeOf(await messages(alice, roomId, query))]).toEqual([query, invalid]);
    }
    expect(codeOf(await messages(alice, roomId, { dir: 'b', filter: '{"limit":"x"}' }))).toEqual([400, 'M_BAD_JSON']);
    expect(codeOf(await messages(alice, roomId, { dir: 'b', filter: '{' }))).toEqual([400, 'M_NOT_JSON']);
    const unauthorized = await server.client.get(`${v3}${roomPath(roomId)}/messages?dir=b`);
    expect(codeOf(unauthorized)).toEqual([401, 'M_MISSING_TOKEN']);
  });

  test('is closed to strangers and unknown rooms, open to guests of world-readable ones', async () => {
    const roomId = await openRoom();
    const forbidden = [403, 'M_FORBIDDEN'];
    expect(codeOf(await messages(guest, roomId, { dir: 'b' }))).toEqual(forbidden);
    expect(codeOf(await messages(alice, '!nowhere:localhost', { dir: 'b' }))).toEqual(forbidden);
    await show(roomId);
    await alice.sent(roomId, { body: 'open' });
    expect(bodies(await messages(guest, roomId, { dir: 'b', limit: 1 }))).toEqual(['open']);
    expect(
      (await server.client.get(`/_matrix/client/r0${roomPath(roomId)}/messages?dir=b`, tokens.get(alice))).status,
    ).toBe(200);
  });

  test('shows redacted messages redacted, and hides those of ignored users', async () => {
    const roomId = await openRoom();
    const eventId = await bob.sent(roomId, { body: 'oops' });
    await bob.put(`${roomPath(roomId)}/redact/${encodeURIComponent(eventId)}/r1`, { reason: 'typo' });
    const { json } = await messages(alice, roomId, { dir: 'b', limit: 2 });
    expect(json.chunk[1]).toMatchObject({ event_id: eventId, content: {} });
    expect(json.chunk[1].unsigned.redacted_because.content.reason).toBe('typo');
    const dave = await actor('dave');
    await dave.change(roomId, 'join');
    const ignored = { ignored_users: { [bob.userId]: {} } };
    await dave.put(`/user/${encodeURIComponent(dave.userId)}/account_data/m.ignored_user_list`, ignored);
    await bob.sent(roomId, { body: 'noise' });
    expect(bodies(await messages(dave, roomId, { dir: 'b', limit: 1 }))).toEqual(['m.room.member']);
  });
});

describe('GET /rooms/{roomId}/context/{eventId}', () => {
  test('gives the events on both sides, the state, and tokens', async () => {
    const roomId = await openRoom();
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) ids.push(await alice.sent(roomId, { body: `${index}` }));
    const path = (id: string | undefined): string => `${v3}${roomPath(roomId)}/context/${encodeURIComponent(id ?? '')}`;
    const { json } = await get(bob, path(ids[2]), { limit: 3, filter: '{"lazy_load_members":true}' });
    const idsIn = (events: { event_id: string }[]): string[] => events.map(({ event_id: id }) => id);
    expect(json.event.event_id).toBe(ids[2]);
    expect(idsIn(json.events_before)).toEqual([ids[1]]);
    expect(idsIn(json.events_after)).toEqual([ids[3], ids[4]]);
    expect(bodies(await messages(bob, roomId, { dir: 'b', from: json.start, limit: 1 }))).toEqual(['0']);
    expect(codeOf(await get(bob, path('$unknown')))).toEqual([404, 'M_NOT_FOUND']);
    expect(codeOf(await get(guest, path(ids[2])))).toEqual([403, 'M_FORBIDDEN']);
  });
});

describe('relations and threads', () => {
  test('are served on all their paths', async () => {
    const roomId = await openRoom();
    const root = await alice.sent(roomId, { body: 'root' });
    const relation = (rel_type: string, event_id: string): object => ({ 'm.relates_to': { rel_type, event_id } });
    const reply = await bob.sent(roomId, { body: 'reply', ...relation('m.thread', root) });
    const dummy = await bob.sent(roomId, relation('m.thread', root), 'm.dummy');
    const edit = await alice.sent(roomId, {
      body: '*',
      'm.new_content': { body: 'new' },
      ...relation('m.replace', root),
    });
    const base = `${v1}${roomPath(roomId)}/relations/${encodeURIComponent(root)}`;
    const idsAt = async (path: string, query: Record<string, string> = {}): Promise<string[]> =>
      (await get(alice, path, query)).json.chunk.map(({ event_id: id }: { event_id: string }) => id);
    expect(await idsAt(base)).toEqual([edit, dummy, reply]);
    expect(await idsAt(`${base}/m.thread`, { dir: 'f' })).toEqual([reply, dummy]);
    expect(await idsAt(`${base}/m.thread/m.room.message`)).toEqual([reply]);
    expect((await get(alice, base, { recurse: 'true' })).json.recursion_depth).toBe(3);
    expect(codeOf(await get(alice, base, { limit: '0' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(codeOf(await get(alice, `${v1}${roomPath(roomId)}/relations/$none`))).toEqual([404, 'M_NOT_FOUND']);
    const threads = await get(alice, `${v1}${roomPath(roomId)}/threads`);
    const [thread] = threads.json.chunk;
    expect(thread.event_id).toBe(root);
    expect(thread.unsigned['m.relations']['m.thread']).toMatchObject({ count: 2, latest_event: { event_id: dummy } });
    expect(thread.unsigned['m.relations']['m.replace'].event_id).toBe(edit);
    expect(codeOf(await get(alice, `${v1}${roomPath(roomId)}/threads`, { from: 'x' }))).toEqual([
      400,
      'M_INVALID_PARAM',
    ]);
    expect(codeOf(await get(alice, `${v1}${roomPath(roomId)}/threads`, { limit: 0 }))).toEqual([
      400,
      'M_INVALID_PARAM',
    ]);
  });
});

describe('GET /rooms/{roomId}/timestamp_to_event', () => {
  test('finds the closest event in a direction', async () => {
    const roomId = await openRoom();
    server.clock.advance(10_000);
    const eventId = await alice.sent(roomId, { body: 'here' });
    const path = `${v1}${roomPath(roomId)}/timestamp_to_event`;
    const ts = server.clock.now();
    const { json } = await get(alice, path, { ts: ts - 5000, dir: 'f' });
    expect(json).toEqual({ event_id: eventId, origin_server_ts: ts });
    expect((await get(alice, path, { ts: ts + 5000, dir: 'b' })).json.event_id).toBe(eventId);
    expect(codeOf(await get(alice, path, { ts: ts + 5000, dir: 'f' }))).toEqual([404, 'M_NOT_FOUND']);
    expect(codeOf(await get(alice, path, { dir: 'f' }))).toEqual([400, 'M_MISSING_PARAM']);
    expect(codeOf(await get(guest, path, { ts, dir: 'f' }))).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
  });
});

describe('room previews', () => {
  test('/initialSync holds messages, state, presence, account data and whether the room is published', async () => {
    const roomId = await openRoom({ visibility: 'public' });
    await alice.sent(roomId, { body: 'hello' });
    const tags = `/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(roomId)}/tags/work`;
    await alice.put(tags, { order: 0.5 });
    await alice.put(`/presence/${encodeURIComponent(alice.userId)}/status`, { presence: 'online', status_msg: 'here' });
    const { json } = await get(alice, `${v3}${roomPath(roomId)}/initialSync`, { limit: 1 });
    expect(json).toMatchObject({ room_id: roomId, membership: 'join', visibility: 'public' });
    expect(bodies({ json: json.messages } as TestResponse)).toEqual(['hello']);
    expect(json.account_data).toEqual([{ type: 'm.tag', content: { tags: { work: { order: 0.5 } } } }]);
    expect(json.presence).toContainEqual(
      expect.objectContaining({ content: expect.objectContaining({ user_id: alice.userId, status_msg: 'here' }) }),
    );
    const { json: all } = await get(alice, `${v3}/initialSync`, { limit: 0 });
    const one = all.rooms.find(({ room_id: id }: { room_id: string }) => id === roomId);
    expect(one.messages.chunk).toEqual([]);
    expect(codeOf(await get(guest, `${v3}/initialSync`))).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
    expect(codeOf(await get(alice, `${v3}/initialSync`, { limit: 'x' }))).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('a guest follows a world-readable room by /events: messages, receipts, typing, presence', async () => {
    const roomId = await openRoom();
    await show(roomId);
    const { json: preview } = await get(guest, `${v3}${roomPath(roomId)}/initialSync`);
    let from: string = preview.messages.end;
    const next = async (timeout = 30_000): Promise<{ type: string; content: Record<string, unknown> }[]> => {
      const { status, json, text } = await get(guest, `${v3}/events`, { room_id: roomId, from, timeout });
      if (status !== 200) throw new Error(text);
      from = json.end;
      return json.chunk;
    };
    expect(await next(0)).toEqual([]);
    const waiting = next();
    const eventId = await alice.sent(roomId, { body: 'mice' });
    expect((await waiting).map(({ content }) => content.body)).toEqual(['mice']);
    const path = `${roomPath(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`;
    const receipt = next();
    await bob.post(path, {});
    expect((await receipt)[0]).toMatchObject({ type: 'm.receipt', content: { [eventId]: { 'm.read': {} } } });
    const typing = next();
    await bob.put(`${roomPath(roomId)}/typing/${encodeURIComponent(bob.userId)}`, { typing: true, timeout: 5000 });
    expect((await typing)[0]).toMatchObject({ type: 'm.typing', content: { user_ids: [bob.userId] } });
    const presence = next();
    await bob.put(`/presence/${encodeURIComponent(bob.userId)}/status`, { presence: 'online', status_msg: 'lemurs' });
    expect((await presence)[0]).toMatchObject({ type: 'm.presence', content: { user_id: bob.userId } });
  });

  test('/events over all rooms is for accounts, and tells of invites and account data too', async () => {
    expect(codeOf(await get(guest, `${v3}/events`))).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN']);
    const { json: start } = await get(bob, `${v3}/events`, { timeout: 0 });
    const roomId = await alice.createRoom({ invite: [bob.userId], is_direct: true });
    await bob.put(`/user/${encodeURIComponent(bob.userId)}/account_data/org.example`, { a: 1 });
    const { json } = await get(bob, `${v3}/events`, { from: start.end, timeout: 0 });
    expect(json.chunk).toContainEqual(expect.objectContaining({ room_id: roomId, state_key: bob.userId }));
    expect(json.chunk).toContainEqual({ type: 'org.example', content: { a: 1 } });
    expect(codeOf(await get(bob, `${v3}/events`, { from: 'x' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(codeOf(await get(bob, `${v3}/events`, { limit: -1 }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(codeOf(await get(bob, `${v3}/events`, { timeout: 'x' }))).toEqual([400, 'M_INVALID_PARAM']);
    expect(codeOf(await get(guest, `${v3}/events`, { room_id: roomId }))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('/events over all rooms makes who reads it present', async () => {
    const carol = await actor('carol');
    await get(carol, `${v3}/events`, { timeout: 0 });
    const { json } = await get(carol, `${v3}/presence/${encodeURIComponent(carol.userId)}/status`);
    expect(json.presence).toBe('online');
  });

  test('/events goes on where it was cut, and answers empty when its time is over', async () => {
    const roomId = await openRoom();
    const { json: start } = await get(bob, `${v3}/events`, { timeout: 0 });
    for (let index = 0; index < 5; index++) await alice.sent(roomId, { body: `${index}` });
    const first = await get(bob, `${v3}/events`, { from: start.end, limit: 3, timeout: 0 });
    const second = await get(bob, `${v3}/events`, { from: first.json.end, limit: 3, timeout: 0 });
    expect([...bodies(first), ...bodies(second)]).toEqual(['0', '1', '2', '3', '4']);
    const waiting = get(bob, `${v3}/events`, { from: second.json.end, timeout: 1000 });
    let isOver = false;
    void waiting.then(() => (isOver = true));
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      server.clock.advance(100);
    }
    expect(bodies(await waiting).filter((body) => body !== 'm.presence')).toEqual([]);
    const eventId = await alice.sent(roomId, { body: 'one' });
    expect((await get(bob, `${v3}/events/${encodeURIComponent(eventId)}`)).json.content.body).toBe('one');
    expect(codeOf(await get(bob, `${v3}/events/$none`))).toEqual([404, 'M_NOT_FOUND']);
  });
});
