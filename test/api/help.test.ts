/** What the server tells and takes beside rooms: reports, OpenID tokens, TURN credentials, third-party networks. */
import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { TestResponse } from '../support/http.ts';
import { testConfig } from '../support/http.ts';
import { registerAll, openRoom, register, say, startUserServer, v3 } from '../support/userapi.ts';

const enc = encodeURIComponent;
const outcome = ({ status, json }: TestResponse): unknown[] => [status, json.errcode];

describe('reports', () => {
  test('of rooms, events and users are kept for the operator', async () => {
    await using server = await startUserServer();
    const { client, users, db } = server;
    const [alice, bob] = await registerAll(client, 'alice', 'bob');
    const roomId = await openRoom(client, alice);
    const eventId = await say(client, roomId, alice);
    const report = (path: string, body: object = { reason: 'bad' }): Promise<TestResponse> =>
      client.post(`${v3}${path}`, body, bob.token);
    const ofEvent = `/rooms/${enc(roomId)}/report/${enc(eventId)}`;
    expect(outcome(await report(ofEvent))).toEqual([404, 'M_NOT_FOUND']);
    expect((await report(`/rooms/${enc(roomId)}/report`)).json).toEqual({});
    await client.post(`${v3}/join/${enc(roomId)}`, {}, bob.token);
    expect((await report(ofEvent, { score: -100 })).json).toEqual({});
    expect((await report(`/users/${enc(alice.userId)}/report`, { reason: '' })).json).toEqual({});
    expect(outcome(await report('/rooms/!none:localhost/report'))).toEqual([404, 'M_NOT_FOUND']);
    expect(outcome(await report('/users/@none:localhost/report'))).toEqual([404, 'M_NOT_FOUND']);
    expect((await report(`/users/${enc(alice.userId)}/report`, {})).status).toBe(400);
    const common = { reporter: bob.userId, receivedAt: expect.any(Number) };
    const list = (kind: 'event' | 'room' | 'user') => {
      const query = { kind, oldestFirst: false, from: 0, limit: 10 };
      return db.read((snapshot) => users.reports.list(snapshot, query));
    };
    const event = { roomId, eventId, eventSender: alice.userId, reason: undefined, score: -100 };
    expect(list('event')).toEqual({ total: 1, reports: [{ ...common, id: 2, ...event }] });
    expect(list('room').reports).toEqual([{ ...common, id: 1, roomId, reason: 'bad', score: undefined }]);
    expect(list('user').reports).toEqual([{ ...common, id: 3, userId: alice.userId, reason: '', score: undefined }]);
  });
});

describe('OpenID tokens', () => {
  test('tell third parties who the user is, for an hour, and open nothing else', async () => {
    await using server = await startUserServer();
    const { client, clock, users, db } = server;
    const alice = await register(client, 'alice');
    const request = (userId: string): Promise<TestResponse> =>
      client.post(`${v3}/user/${enc(userId)}/openid/request_token`, {}, alice.token);
    const userInfo = (query: string): Promise<TestResponse> =>
      client.get(`/_matrix/federation/v1/openid/userinfo${query}`);
    const { json } = await request(alice.userId);
    expect(json).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      matrix_server_name: 'localhost',
      expires_in: 3600,
    });
    expect((await userInfo(`?access_token=${json.access_token}`)).json).toEqual({ sub: alice.userId });
    expect(outcome(await client.get(`${v3}/account/whoami`, json.access_token))).toEqual([401, 'M_UNKNOWN_TOKEN']);
    expect(outcome(await userInfo(`?access_token=${alice.token}`))).toEqual([401, 'M_UNKNOWN_TOKEN']);
    expect(outcome(await userInfo(''))).toEqual([401, 'M_MISSING_TOKEN']);
    expect(outcome(await request('@bob:localhost'))).toEqual([403, 'M_FORBIDDEN']);
    clock.advance(3_600_000);
    expect(outcome(await userInfo(`?access_token=${json.access_token}`))).toEqual([401, 'M_UNKNOWN_TOKEN']);
    await users.openIdTokens.prune(db);
  });
});

describe('TURN credentials', () => {
  const path = `${v3}/voip/turnServer`;
  const { turn } = testConfig();
  const uris = ['turn:turn.example?transport=udp'];

  test('are made from the shared secret and pass', async () => {
    await using server = await startUserServer({ turn: { ...turn, uris, sharedSecret: 'shared' } });
    const alice = await register(server.client, 'alice');
    const { json } = await server.client.get(path, alice.token);
    const username = `${Math.floor(server.clock.now() / 1000) + 86_400}:${alice.userId}`;
    const password = createHmac('sha1', 'shared').update(username).digest('base64');
    expect(json).toEqual({ username, password, uris, ttl: 86_400 });
  });

  test('are those of the configuration where there is no secret', async () => {
    await using server = await startUserServer({ turn: { ...turn, uris, username: 'one', password: 'two' } });
    const alice = await register(server.client, 'alice');
    const { json } = await server.client.get(path, alice.token);
    expect(json).toEqual({ username: 'one', password: 'two', uris, ttl: 86_400 });
  });

  test('are not found without a TURN server', async () => {
    await using server = await startUserServer();
    const alice = await register(server.client, 'alice');
    expect(outcome(await server.client.get(path, alice.token))).toEqual([404, 'M_NOT_FOUND']);
    const third = `${v3}/thirdparty`;
    expect((await server.client.get(`${third}/protocols`, alice.token)).json).toEqual({});
    for (const name of ['protocol/irc', 'location/irc', 'user/irc', 'location?alias=%23a:b', 'user?userid=@a:b']) {
      expect(outcome(await server.client.get(`${third}/${name}`, alice.token))).toEqual([404, 'M_NOT_FOUND']);
    }
  });
});
