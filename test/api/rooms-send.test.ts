import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { roomPath, startRoomServer, type RoomServer } from '../support/rooms.ts';

let server: RoomServer;
let roomId: string;
beforeAll(async () => {
  server = await startRoomServer();
});
beforeEach(async () => {
  roomId = await server.alice.createRoom({ preset: 'public_chat' });
  await server.bob.change(roomId, 'join');
});
afterAll(async () => server[Symbol.asyncDispose]());

const annotation = (eventId: string, key: string) => ({
  'm.relates_to': { rel_type: 'm.annotation', event_id: eventId, key },
});
const relation = (relType: string, eventId: string, more: object = {}) => ({
  body: relType,
  'm.relates_to': { rel_type: relType, event_id: eventId },
  ...more,
});

describe('PUT /send', () => {
  test('answers a repeated transaction id with the first event', async () => {
    const { alice } = server;
    const first = await alice.send(roomId, { body: 'one' }, 'm.room.message', 'same');
    const second = await alice.send(roomId, { body: 'two' }, 'm.room.message', 'same');
    expect(second.json.event_id).toBe(first.json.event_id);
  });

  test('shows the transaction id to the sending device alone', async () => {
    const { alice, alice2, bob } = server;
    const eventId = (await alice.send(roomId, { body: 'x' }, 'm.room.message', 'mine')).json.event_id;
    expect((await alice.event(roomId, eventId)).json.unsigned.transaction_id).toBe('mine');
    expect((await alice2.event(roomId, eventId)).json.unsigned).not.toHaveProperty('transaction_id');
    expect((await bob.event(roomId, eventId)).json.unsigned).not.toHaveProperty('transaction_id');
  });

  test('is for joined users', async () => {
    const { carol } = server;
    const outside = await carol.send(roomId, { body: 'x' });
    expect([outside.status, outside.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    const nowhere = await carol.send('!none:localhost', { body: 'x' });
    expect([nowhere.status, nowhere.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
  });

  test('refuses events over 65,536 bytes', async () => {
    const { status, json } = await server.alice.send(roomId, { body: 'x'.repeat(66_000) });
    expect([status, json.errcode]).toEqual([413, 'M_TOO_LARGE']);
  });

  test('refuses what is no canonical JSON', async () => {
    const { status, json } = await server.alice.send(roomId, { number: 1.5 });
    expect([status, json.errcode]).toEqual([400, 'M_BAD_JSON']);
  });

  test('takes any type and content', async () => {
    const { alice } = server;
    const eventId = await alice.sent(roomId, { __proto__2: 1, '"': '\\"},' }, 'org.example/strange');
    const { json } = await alice.event(roomId, eventId);
    expect([json.type, json.content]).toEqual(['org.example/strange', { __proto__2: 1, '"': '\\"},' }]);
  });

  test('refuses delayed events rather than sending them at once', async () => {
    const path = `${roomPath(roomId)}/send/m.room.message/d1?org.matrix.msc4140.delay=1000`;
    expect((await server.alice.put(path, { body: 'later' })).status).toBe(400);
    const state = `${roomPath(roomId)}/state/org.example/?org.matrix.msc4140.delay=1000`;
    expect((await server.alice.put(state, { body: 'later' })).status).toBe(400);
  });

  test('pays no attention to a time given by a user', async () => {
    const { alice, clock } = server;
    const path = `${roomPath(roomId)}/send/m.room.message/ts1?ts=5`;
    const { json } = await alice.put(path, { body: 'now' });
    expect((await alice.event(roomId, json.event_id)).json.origin_server_ts).toBe(clock.now());
  });

  test('lets suspended users only redact what is theirs', async () => {
    const { suspended } = server;
    expect((await suspended.post(`/join/${roomId}`)).json.errcode).toBe('M_USER_SUSPENDED');
    expect((await suspended.send(roomId, { body: 'x' })).json.errcode).toBe('M_USER_SUSPENDED');
  });
});

describe('relations', () => {
  test('an annotation cannot be sent twice until the first is redacted', async () => {
    const { alice, bob } = server;
    const eventId = await alice.sent(roomId, { body: 'x' });
    const first = await bob.sent(roomId, annotation(eventId, '👍'), 'm.reaction');
    const again = await bob.send(roomId, annotation(eventId, '👍'), 'm.reaction');
    expect([again.status, again.json.errcode]).toEqual([400, 'M_DUPLICATE_ANNOTATION']);
    expect((await bob.send(roomId, annotation(eventId, '👎'), 'm.reaction')).status).toBe(200);
    expect((await alice.send(roomId, annotation(eventId, '👍'), 'm.reaction')).status).toBe(200);
    await bob.put(`${roomPath(roomId)}/redact/${encodeURIComponent(first)}/r1`, {});
    expect((await bob.send(roomId, annotation(eventId, '👍'), 'm.reaction')).status).toBe(200);
  });

  test('a thread cannot start at an event that has a relation', async () => {
    const { alice } = server;
    const root = await alice.sent(roomId, { body: 'root' });
    const child = await alice.sent(roomId, relation('m.thread', root));
    const nested = await alice.send(roomId, relation('m.thread', child));
    expect([nested.status, nested.json.errcode]).toEqual([400, 'M_UNKNOWN']);
    const reply = await alice.sent(roomId, { body: 're', 'm.relates_to': { 'm.in_reply_to': { event_id: root } } });
    expect((await alice.send(roomId, relation('m.thread', reply))).status).toBe(200);
  });

  test('the latest valid edit is bundled, not those of others or of another type', async () => {
    const { alice, bob, clock } = server;
    const eventId = await alice.sent(roomId, { body: 'x' });
    const edit = (body: string) => relation('m.replace', eventId, { 'm.new_content': { body } });
    await alice.sent(roomId, edit('one'));
    clock.advance(1);
    const latest = await alice.sent(roomId, edit('two'));
    clock.advance(1);
    await bob.sent(roomId, edit('by bob'));
    await alice.sent(roomId, edit('as another type'), 'org.example');
    await alice.sent(roomId, relation('m.replace', eventId));
    const { json } = await bob.event(roomId, eventId);
    expect(json.content).toEqual({ body: 'x' });
    expect(json.unsigned['m.relations']['m.replace']).toMatchObject({
      event_id: latest,
      content: { 'm.new_content': { body: 'two' } },
    });
    await alice.put(`${roomPath(roomId)}/redact/${encodeURIComponent(eventId)}/r2`, {});
    expect((await bob.event(roomId, eventId)).json.unsigned).not.toHaveProperty('m.relations');
  });

  test('a thread is summed up, without ignored users', async () => {
    const { alice, bob, carol, accounts } = server;
    const root = await alice.sent(roomId, { body: 'root' });
    await bob.sent(roomId, relation('m.thread', root));
    const last = await bob.sent(roomId, relation('m.thread', root));
    await carol.change(roomId, 'join');
    const thread = async (actor: typeof alice) =>
      (await actor.event(roomId, root)).json.unsigned['m.relations']?.['m.thread'];
    expect(await thread(alice)).toMatchObject({ count: 2, current_user_participated: true });
    expect((await thread(alice)).latest_event.event_id).toBe(last);
    expect(await thread(carol)).toMatchObject({ count: 2, current_user_participated: false });
    accounts.ignored.set(carol.userId, new Set([bob.userId]));
    expect(await thread(carol)).toBeUndefined();
  });

  test('references are listed', async () => {
    const { alice, bob } = server;
    const eventId = await alice.sent(roomId, { body: 'x' });
    const one = await bob.sent(roomId, relation('m.reference', eventId));
    const two = await bob.sent(roomId, relation('m.reference', eventId));
    const { json } = await alice.event(roomId, eventId);
    expect(json.unsigned['m.relations']['m.reference']).toEqual({ chunk: [{ event_id: one }, { event_id: two }] });
  });
});

describe('PUT /state', () => {
  test('sets state with and without key, with a slash at the end and with slashes in the key', async () => {
    const { alice } = server;
    const base = `${roomPath(roomId)}/state/org.example`;
    await alice.put(base, { at: 'bare' });
    expect((await alice.get(`${base}/`)).json).toEqual({ at: 'bare' });
    await alice.put(`${base}/`, { at: 'slash' });
    expect((await alice.get(base)).json).toEqual({ at: 'slash' });
    await alice.put(`${base}/a%2Fb`, { at: 'key' });
    expect((await alice.state(roomId, 'org.example', 'a/b')).json).toEqual({ at: 'key' });
  });

  test('gives the event in force when nothing changes', async () => {
    const { alice } = server;
    const first = await alice.setState(roomId, 'm.room.name', { name: 'n' });
    const second = await alice.setState(roomId, 'm.room.name', { name: 'n' });
    expect(second.json.event_id).toBe(first.json.event_id);
  });

  test('tells what an event replaced', async () => {
    const { alice, bob } = server;
    const first = await alice.setState(roomId, 'm.room.name', { name: 'old' });
    const second = await alice.setState(roomId, 'm.room.name', { name: 'new' });
    expect((await bob.event(roomId, second.json.event_id)).json.unsigned).toMatchObject({
      replaces_state: first.json.event_id,
      prev_content: { name: 'old' },
      prev_sender: alice.userId,
      membership: 'join',
    });
  });

  test('does not change the create event', async () => {
    const { status, json } = await server.alice.setState(roomId, 'm.room.create', { room_version: '1' });
    expect([status, json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('does not let power levels name a creator in version 12', async () => {
    const { alice } = server;
    const room = await alice.createRoom({ room_version: '12' });
    const { status, json } = await alice.setState(room, 'm.room.power_levels', { users: { [alice.userId]: 100 } });
    expect([status, json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
  });

  test('takes aliases that point to the room, and no new ones that do not', async () => {
    const { alice } = server;
    const put = (content: unknown) => alice.setState(roomId, 'm.room.canonical_alias', content);
    await alice.put(`/directory/room/${encodeURIComponent('#here:localhost')}`, { room_id: roomId });
    expect((await put({ alias: '#here:localhost', alt_aliases: ['#here:localhost'] })).status).toBe(200);
    expect((await put({ alias: '#nowhere:localhost' })).json.errcode).toBe('M_BAD_ALIAS');
    expect((await put({ alias: '#here:localhost', alt_aliases: ['#nowhere:localhost'] })).json.errcode).toBe(
      'M_BAD_ALIAS',
    );
    expect((await put({ alias: 'here' })).json.errcode).toBe('M_INVALID_PARAM');
    await alice.delete(`/directory/room/${encodeURIComponent('#here:localhost')}`);
    expect((await put({ alias: null })).status).toBe(200);
  });
});

test('a message may be sent without a transaction id, each request being one', async () => {
  const { alice } = server;
  const post = () => alice.post(`${roomPath(roomId)}/send/m.room.message`, { body: 'again' });
  const [first, second] = [await post(), await post()];
  expect((await alice.event(roomId, first.json.event_id)).json.content).toEqual({ body: 'again' });
  expect(second.json.event_id).not.toBe(first.json.event_id);
});

describe('redactions', () => {
  const redact = (actor: RoomServer['alice'], eventId: string, txnId: string, body: unknown = {}) =>
    actor.put(`${roomPath(roomId)}/redact/${encodeURIComponent(eventId)}/${txnId}`, body);

  test('strip the event and say by what', async () => {
    const { alice, bob } = server;
    const eventId = await bob.sent(roomId, { body: 'secret' });
    const { json } = await redact(alice, eventId, 'x1', { reason: 'spam' });
    const redacted = (await bob.event(roomId, eventId)).json;
    expect(redacted.content).toEqual({});
    expect(redacted.unsigned.redacted_because).toMatchObject({
      event_id: json.event_id,
      type: 'm.room.redaction',
      redacts: eventId,
      content: { reason: 'spam', redacts: eventId },
    });
    expect((await redact(alice, eventId, 'x1', {})).json.event_id).toBe(json.event_id);
  });

  test('may be asked for without a transaction id', async () => {
    const { alice, bob } = server;
    const eventId = await bob.sent(roomId, { body: 'secret' });
    const { status } = await alice.post(`${roomPath(roomId)}/redact/${encodeURIComponent(eventId)}`, {});
    expect(status).toBe(200);
    expect((await bob.event(roomId, eventId)).json.content).toEqual({});
  });

  test('of redactions are told of the redaction, not of what it redacted', async () => {
    const { alice } = server;
    const eventId = await alice.sent(roomId, { body: 'secret' });
    const first = (await redact(alice, eventId, 'y1')).json.event_id;
    const second = (await redact(alice, first, 'y2')).json.event_id;
    expect((await alice.event(roomId, first)).json.unsigned.redacted_because.event_id).toBe(second);
    const { redacted_because: because } = (await alice.event(roomId, eventId)).json.unsigned;
    expect(because.event_id).toBe(first);
    expect(because.unsigned).not.toHaveProperty('redacted_because');
  });

  test.each(['1', '5', '10', '11', '12'])('work by /send in version %s', async (version) => {
    const { alice } = server;
    const room = await alice.createRoom({ room_version: version });
    const eventId = await alice.sent(room, { body: 'secret' });
    const redaction = await alice.sent(room, { redacts: eventId, reason: 'r' }, 'm.room.redaction');
    expect((await alice.event(room, eventId)).json.content).toEqual({});
    expect((await alice.event(room, redaction)).json).toMatchObject({ redacts: eventId, content: { reason: 'r' } });
  });

  test('of the events of others take the redact level', async () => {
    const { alice, bob } = server;
    const eventId = await alice.sent(roomId, { body: 'mine' });
    const refused = await redact(bob, eventId, 'y1');
    expect([refused.status, refused.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    expect((await redact(bob, '$unknown', 'y2')).status).toBe(404);
    const own = await bob.sent(roomId, { body: 'his' });
    expect((await redact(bob, own, 'y3')).status).toBe(200);
  });

  test('by administrators reach the events of users of this server', async () => {
    const { alice, admin } = server;
    const eventId = await alice.sent(roomId, { body: 'mine' });
    await admin.change(roomId, 'join');
    expect((await redact(admin, eventId, 'z1')).status).toBe(200);
    expect((await alice.event(roomId, eventId)).json.content).toEqual({});
  });

  test('do not reach into another room', async () => {
    const { alice } = server;
    const other = await alice.createRoom();
    const eventId = await alice.sent(other, { body: 'there' });
    expect((await redact(alice, eventId, 'w1')).json.errcode).toBe('M_INVALID_PARAM');
    expect((await alice.event(other, eventId)).json.content).toEqual({ body: 'there' });
  });
});
