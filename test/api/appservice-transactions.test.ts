/** Application services: what they are told, in order and until they have taken it. */
import { describe, expect, test } from '@jest/globals';
import {
  asToken,
  registrationFiles,
  registrationOf,
  startScriptedService,
  type ReceivedEvent,
  type ScriptedService,
} from '../support/app-service.ts';
import { startBridged, as, ghost, makeGhost } from '../support/bridged.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { login, openRoom, register, say, startUserServer, temporaryFolder, v3 } from '../support/userapi.ts';

const encoded = encodeURIComponent;

/** Lets the pauses between attempts pass until something has come. */
async function passTime(clock: FakeClock, condition: () => boolean): Promise<void> {
  while (!condition()) {
    clock.advance(60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const eventsOf = ({ taken }: ScriptedService): ReceivedEvent[] => taken.flatMap(({ events }) => events);

const bodiesOf = (service: ScriptedService): unknown[] =>
  eventsOf(service).flatMap(({ type, content }) => (type === 'm.room.message' ? [content['body']] : []));

describe('transactions', () => {
  test('hold what happens in rooms of the services users, in order, and nothing of other rooms', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    const other = await openRoom(client, alice);
    const roomId = await openRoom(client, alice);
    await say(client, other, alice, { body: 'elsewhere' });
    await say(client, roomId, alice, { body: 'before' });
    await client.post(`${v3}/rooms/${encoded(roomId)}/invite`, { user_id: ghost }, alice.token);
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    for (let count = 0; count < 120; count += 1) await say(client, roomId, alice, { body: `${count}` });
    await client.put(`${v3}/rooms/${encoded(roomId)}/state/m.room.topic`, { topic: 'one' }, alice.token);
    await client.put(`${v3}/rooms/${encoded(roomId)}/state/m.room.topic`, { topic: 'two' }, alice.token);
    await client.post(`${v3}/rooms/${encoded(roomId)}/kick`, { user_id: ghost }, alice.token);
    await say(client, roomId, alice, { body: 'after' });
    await service.until((one) => eventsOf(one).length >= 125);
    expect(bodiesOf(service)).toEqual(Array.from({ length: 120 }, (_, count) => `${count}`));
    const [invite, join, ...rest] = eventsOf(service);
    expect(invite).toMatchObject({
      type: 'm.room.member',
      room_id: roomId,
      content: { membership: 'invite' },
      unsigned: { invite_room_state: expect.any(Array) },
    });
    expect(join).toMatchObject({ state_key: ghost, unsigned: { prev_content: { membership: 'invite' } } });
    expect(rest.at(-1)).toMatchObject({ state_key: ghost, content: { membership: 'leave' } });
    expect(rest.at(-2)).toMatchObject({ content: { topic: 'two' }, unsigned: { prev_content: { topic: 'one' } } });
    const ids = service.requests.map(({ path }) => Number(path.split('/').at(-1)));
    expect(ids.every((id, index) => Number.isSafeInteger(id) && id > (ids[index - 1] ?? 0))).toBe(true);
  });

  test('hold rooms by alias and by room id', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    await client.put(`${v3}/directory/room/${encoded('#_bridge_x:localhost')}`, { room_id: roomId }, asToken);
    await say(client, roomId, alice, { body: 'by alias' });
    await service.until((one) => bodiesOf(one).includes('by alias'));
  });

  test('are repeated unaltered until they are taken, and the rest follows in order', async () => {
    await using bridged = await startBridged();
    const { client, clock, service } = bridged;
    service.script = () => ({ status: 500 });
    const made = await client.post(`${v3}/createRoom`, {}, asToken);
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    await service.until(({ requests }) => requests.length === 1);
    for (const body of ['one', 'two']) await say(client, made.json.room_id, bot, { body });
    for (let attempt = 2; attempt <= 4; attempt += 1) {
      await passTime(clock, () => service.requests.length >= attempt);
    }
    const [first, ...others] = service.requests;
    for (const other of others) expect([other.path, other.text]).toEqual([first?.path, first?.text]);
    service.script = () => undefined;
    await passTime(clock, () => bodiesOf(service).includes('two'));
    expect(bodiesOf(service)).toEqual(['one', 'two']);
    expect(service.taken[0]).toEqual(first?.json);
  });

  test('outlive a restart of the server: same id, same body, then the rest', async () => {
    await using data = await temporaryFolder();
    await using service = await startScriptedService();
    await using files = await registrationFiles(registrationOf(service.url));
    service.script = () => ({ status: 503 });
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    {
      await using server = await startUserServer({ appservices: files.files }, { folder: data.folder });
      const made = await server.client.post(`${v3}/createRoom`, {}, asToken);
      await service.until(({ requests }) => requests.length === 1);
      await say(server.client, made.json.room_id, bot, { body: 'kept' });
    }
    service.script = () => undefined;
    await using server = await startUserServer({ appservices: files.files }, { folder: data.folder });
    await service.until((one) => bodiesOf(one).includes('kept'));
    expect(service.requests[1]?.path).toBe(service.requests[0]?.path);
    expect(service.requests[1]?.text).toBe(service.requests[0]?.text);
    expect(server.db.head).toBeGreaterThan(0);
  });

  test('are not made for a service without a URL', async () => {
    await using files = await registrationFiles(registrationOf(null));
    await using server = await startUserServer({ appservices: files.files });
    const made = await server.client.post(`${v3}/createRoom`, {}, asToken);
    expect(made.status).toBe(200);
    const ping = await server.client.post('/_matrix/client/v1/appservice/bridge/ping', {}, asToken);
    expect([ping.status, ping.json.errcode]).toEqual([400, 'M_URL_NOT_SET']);
  });

  test('hold redacted events without their content', async () => {
    await using bridged = await startBridged();
    const { client, clock, service } = bridged;
    service.script = () => ({ status: 500 });
    const made = await client.post(`${v3}/createRoom`, {}, asToken);
    await service.until(({ requests }) => requests.length === 1);
    const bot = { userId: '@bridgebot:localhost', deviceId: '', token: asToken };
    const eventId = await say(client, made.json.room_id, bot, { body: 'secret' });
    await client.put(`${v3}/rooms/${encoded(made.json.room_id)}/redact/${encoded(eventId)}/1`, {}, asToken);
    service.script = () => undefined;
    await passTime(clock, () => eventsOf(service).some(({ type }) => type === 'm.room.redaction'));
    expect(JSON.stringify(service.taken)).not.toContain('secret');
    expect(eventsOf(service).map((event) => event.event_id)).toContain(eventId);
  });
});

describe('data besides events', () => {
  test('typing, receipts and presence come where they are wanted', async () => {
    await using bridged = await startBridged({ receive_ephemeral: true });
    const { client, service } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const room = `${v3}/rooms/${encoded(roomId)}`;
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    const eventId = await say(client, roomId, alice);
    await client.put(`${room}/typing/${alice.userId}`, { typing: true, timeout: 10_000 }, alice.token);
    await client.post(`${room}/receipt/m.read/${encoded(eventId)}`, {}, alice.token);
    await client.post(`${room}/receipt/m.read.private/${encoded(eventId)}`, {}, alice.token);
    await client.post(`${room}/receipt/m.read.private/${encoded(eventId)}?${as(ghost)}`, {}, asToken);
    await client.put(`${v3}/presence/${alice.userId}/status`, { presence: 'online' }, alice.token);
    const ephemeral = () => service.taken.flatMap((body) => body.ephemeral ?? []);
    await service.until(() => ephemeral().some(({ type }) => type === 'm.presence') && ephemeral().length >= 4);
    const ofType = (type: string) => ephemeral().filter((event) => event.type === type);
    expect(ofType('m.typing')[0]).toEqual({ type: 'm.typing', room_id: roomId, content: { user_ids: [alice.userId] } });
    expect(ofType('m.presence')[0]).toMatchObject({ sender: alice.userId, content: { presence: 'online' } });
    const receipts = ofType('m.receipt');
    expect(receipts[0]).toEqual({
      type: 'm.receipt',
      room_id: roomId,
      content: { [eventId]: { 'm.read': { [alice.userId]: { ts: expect.any(Number) } } } },
    });
    expect(receipts.map(({ content }) => JSON.stringify(content)).filter((text) => text.includes('private'))).toEqual([
      JSON.stringify({ [eventId]: { 'm.read.private': { [ghost]: { ts: bridged.clock.now() } } } }),
    ]);
  });

  test('messages to devices, device lists and key counts reach an encrypted bridge', async () => {
    await using bridged = await startBridged({
      'de.sorunome.msc2409.push_ephemeral': true,
      'org.matrix.msc3202': true,
    });
    const { client, service } = bridged;
    await makeGhost(bridged);
    const alice = await register(client, 'alice');
    await client.put(`${v3}/devices/BRIDGE?${as(ghost)}`, {}, asToken);
    const roomId = await openRoom(client, alice);
    await client.post(`${v3}/join/${encoded(roomId)}?${as(ghost)}`, {}, asToken);
    const key = { 'signed_curve25519:A': { key: 'x', signatures: {} } };
    await client.post(`${v3}/keys/upload?${as(ghost)}&device_id=BRIDGE`, { one_time_keys: key }, asToken);
    const message = { messages: { [ghost]: { BRIDGE: { hello: 'ghost' } } } };
    await client.put(`${v3}/sendToDevice/m.test/1`, message, alice.token);
    await client.post(`${v3}/keys/claim`, { one_time_keys: { [ghost]: { BRIDGE: 'signed_curve25519' } } }, alice.token);
    const second = await login(client, 'alice', 'SECOND');
    await client.put(`${v3}/devices/SECOND`, { display_name: 'Renamed' }, second.token);
    const keys = 'org.matrix.msc3202.device_one_time_keys_count';
    const counts = () => service.taken.flatMap((body) => body[keys] ?? []);
    await service.until(() => counts().length >= 2);
    const toDevice = service.taken.flatMap((body) => body['de.sorunome.msc2409.to_device'] ?? []);
    expect(toDevice).toEqual([
      {
        type: 'm.test',
        sender: alice.userId,
        content: { hello: 'ghost' },
        to_user_id: ghost,
        to_device_id: 'BRIDGE',
      },
    ]);
    expect(counts().at(-1)).toEqual({ [ghost]: { BRIDGE: { signed_curve25519: 0 } } });
    // Its own queue is empty: nobody fetches from it.
    const synced = await client.get(`${v3}/sync?timeout=0&${as(ghost)}&device_id=BRIDGE`, asToken);
    expect(synced.json.to_device).toBeUndefined();
  });
});
