/** Application services: whom their token stands for, accounts and aliases of their namespaces. */
import { describe, expect, test } from '@jest/globals';
import { asToken } from '../support/app-service.ts';
import { startBridged, as, ghost, ghostBody, makeGhost } from '../support/bridged.ts';
import { testConfig } from '../support/http.ts';
import { openRoom, register, v3 } from '../support/userapi.ts';

const encoded = encodeURIComponent;

describe('identity assertion', () => {
  test('the token stands for the sender, for users of the namespaces, and for nobody else', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    const whoami = (query: string) => client.get(`${v3}/account/whoami?${query}`, asToken);
    expect((await whoami('')).json).toEqual({ user_id: '@bridgebot:localhost', is_guest: false });
    expect((await whoami(as('@alice:localhost'))).json.errcode).toBe('M_FORBIDDEN');
    const early = await whoami(as(ghost));
    expect([early.status, early.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    await makeGhost(bridged);
    expect((await whoami(as(ghost))).json).toEqual({ user_id: ghost, is_guest: false });
    // The deprecated way to carry the token.
    const inQuery = await client.get(`${v3}/account/whoami?access_token=${encoded(asToken)}&${as(ghost)}`);
    expect(inQuery.json.user_id).toBe(ghost);
  });

  test('a device that is not the users is M_UNKNOWN_DEVICE', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged;
    const path = `${v3}/account/whoami?${as(ghost)}&device_id=`;
    const unknown = await client.get(`${path}NOWHERE`, asToken);
    expect([unknown.status, unknown.json.errcode]).toEqual([400, 'M_UNKNOWN_DEVICE']);
    const made = await client.put(`${v3}/devices/HERE?${as(ghost)}`, { display_name: 'Bridge' }, asToken);
    expect([made.status, made.json]).toEqual([201, {}]);
    expect((await client.get(`${path}HERE`, asToken)).json.device_id).toBe('HERE');
    const again = await client.put(`${v3}/devices/HERE?${as(ghost)}`, { display_name: 'Renamed' }, asToken);
    expect(again.status).toBe(200);
    const keys = { device_keys: {}, one_time_keys: {} };
    const uploaded = await client.post(
      `${v3}/keys/upload?${as(ghost)}&device_id=HERE`,
      { one_time_keys: keys.one_time_keys },
      asToken,
    );
    expect(uploaded.status).toBe(200);
    expect((await client.delete(`${v3}/devices/HERE?${as(ghost)}`, asToken, {})).status).toBe(200);
    expect((await client.get(`${path}HERE`, asToken)).json.errcode).toBe('M_UNKNOWN_DEVICE');
  });

  test('users cannot make devices by PUT, and need authentication to delete them', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    const alice = await register(client, 'alice');
    expect((await client.put(`${v3}/devices/NEW`, {}, alice.token)).status).toBe(404);
    expect((await client.delete(`${v3}/devices/${alice.deviceId}`, alice.token, {})).status).toBe(401);
  });

  test('ts sets the time of events', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged;
    const made = await client.post(`${v3}/createRoom?${as(ghost)}`, { preset: 'public_chat' }, asToken);
    const path = `${v3}/rooms/${encoded(made.json.room_id)}/send/m.room.message/1?${as(ghost)}&ts=1234567`;
    const sent = await client.put(path, { msgtype: 'm.text', body: 'old' }, asToken);
    const event = await client.get(
      `${v3}/rooms/${encoded(made.json.room_id)}/event/${encoded(sent.json.event_id)}?${as(ghost)}`,
      asToken,
    );
    expect(event.json).toMatchObject({ sender: ghost, origin_server_ts: 1234567 });
  });

  test('rate limits hold for masquerading only where the registration wants them', async () => {
    const { rateLimits: defaults } = testConfig();
    const read = { perSecond: 0.001, burst: 1 };
    const rateLimits = { ...defaults, enabled: true, read, register: read };
    for (const [limited, last] of [
      [false, 200],
      [true, 429],
    ] as const) {
      await using bridged = await startBridged({ rate_limited: limited }, { rateLimits });
      await makeGhost(bridged);
      const { client } = bridged;
      await client.post(`${v3}/register`, { ...ghostBody, username: '_bridge_ben' }, asToken);
      const whoami = (query: string) => client.get(`${v3}/account/whoami?${query}`, asToken);
      for (const query of ['', '', as(ghost)]) expect((await whoami(query)).status).toBe(200);
      expect((await whoami(as(ghost))).status).toBe(last);
    }
  });
});

describe('accounts', () => {
  test('a service registers and logs in its users without a password', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    const made = await client.post(`${v3}/register`, ghostBody, asToken);
    expect(made.json).toMatchObject({
      user_id: ghost,
      access_token: expect.any(String),
      device_id: expect.any(String),
    });
    const identifier = { type: 'm.id.user', user: '_bridge_ann' };
    const entered = await client.post(`${v3}/login`, { type: 'm.login.application_service', identifier }, asToken);
    expect((await client.get(`${v3}/account/whoami`, entered.json.access_token)).json.user_id).toBe(ghost);
    const { json } = await client.get(`${v3}/login`);
    expect(json.flows).toContainEqual({ type: 'm.login.application_service' });
    const quiet = await client.post(
      `${v3}/register`,
      { ...ghostBody, username: '_bridge_ben', inhibit_login: true },
      asToken,
    );
    expect(quiet.json).toEqual({ user_id: '@_bridge_ben:localhost', home_server: 'localhost' });
    expect((await client.post(`${v3}/register`, ghostBody, asToken)).json.errcode).toBe('M_USER_IN_USE');
  });

  test('without a valid token it is 401, outside the namespaces M_EXCLUSIVE', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    await register(client, 'alice');
    const identifier = { type: 'm.id.user', user: 'alice' };
    const bodies = { register: { ...ghostBody, username: 'carol' }, login: { ...ghostBody, identifier } };
    for (const [path, body] of Object.entries(bodies)) {
      const missing = await client.post(`${v3}/${path}`, body);
      expect([missing.status, missing.json.errcode]).toEqual([401, 'M_MISSING_TOKEN']);
      const wrong = await client.post(`${v3}/${path}`, body, 'nonsense');
      expect([wrong.status, wrong.json.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN']);
      const outside = await client.post(`${v3}/${path}`, body, asToken);
      expect([outside.status, outside.json.errcode]).toEqual([400, 'M_EXCLUSIVE']);
    }
  });

  test('nobody else takes a name of an exclusive namespace, or the senders', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    for (const username of ['_bridge_ann', 'bridgebot']) {
      const available = await client.get(`${v3}/register/available?username=${username}`);
      expect(available.json.errcode).toBe('M_EXCLUSIVE');
      const body = { username, password: 'correct horse', auth: { type: 'm.login.dummy' } };
      const { status, json } = await client.post(`${v3}/register`, body);
      expect([status, json.errcode]).toEqual([400, 'M_EXCLUSIVE']);
    }
  });

  test('a service deactivates a user without more than its token', async () => {
    await using bridged = await startBridged();
    await makeGhost(bridged);
    const { client } = bridged;
    const { status } = await client.post(`${v3}/account/deactivate?${as(ghost)}`, {}, asToken);
    expect(status).toBe(200);
    expect((await client.get(`${v3}/account/whoami?${as(ghost)}`, asToken)).json.errcode).toBe('M_USER_DEACTIVATED');
  });
});

describe('aliases', () => {
  test('an exclusive alias is made and removed by its service only, which needs no membership', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const path = `${v3}/directory/room/${encoded('#_bridge_x:localhost')}`;
    expect((await client.put(path, { room_id: roomId }, alice.token)).json.errcode).toBe('M_EXCLUSIVE');
    const named = await client.post(`${v3}/createRoom`, { room_alias_name: '_bridge_x' }, alice.token);
    expect(named.json.errcode).toBe('M_EXCLUSIVE');
    expect((await client.put(path, { room_id: roomId }, asToken)).status).toBe(200);
    expect((await client.delete(path, alice.token)).json.errcode).toBe('M_EXCLUSIVE');
    const outside = `${v3}/directory/room/${encoded('#other:localhost')}`;
    expect((await client.put(outside, { room_id: roomId }, asToken)).json.errcode).toBe('M_EXCLUSIVE');
    expect((await client.delete(path, asToken)).status).toBe(200);
  });
});
