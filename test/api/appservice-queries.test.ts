/** Application services: what they are asked: users and aliases, pings, third-party networks. */
import { describe, expect, test } from '@jest/globals';
import { asToken, registrationFiles, registrationOf, startScriptedService } from '../support/app-service.ts';
import { startBridged, as, ghost, makeGhost } from '../support/bridged.ts';
import { openRoom, register, startUserServer, v3 } from '../support/userapi.ts';

const encoded = encodeURIComponent;

describe('queries', () => {
  test('a user is asked for before he is invited or shown, and an alias before it is joined', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    service.script = async ({ path }) => {
      if (path.endsWith(`/users/${ghost}`)) await makeGhost(bridged);
      else if (path.endsWith('/rooms/#_bridge_x:localhost')) {
        await client.put(`${v3}/directory/room/${encoded('#_bridge_x:localhost')}`, { room_id: roomId }, asToken);
      } else return undefined;
      return { status: 200 };
    };
    expect((await client.get(`${v3}/profile/${ghost}`)).json).toEqual({ displayname: '_bridge_ann' });
    expect((await client.get(`${v3}/profile/@_bridge_nobody:localhost`)).status).toBe(404);
    const asked = service.requests.find(({ path }) => path.includes('/users/'));
    expect(asked).toMatchObject({ path: `/_matrix/app/v1/users/${ghost}`, authorization: 'Bearer hs"token' });
    const bob = await register(client, 'bob');
    const joined = await client.post(`${v3}/join/${encoded('#_bridge_x:localhost')}`, {}, bob.token);
    expect(joined.json.room_id).toBe(roomId);
    const invite = `${v3}/rooms/${encoded(roomId)}/invite`;
    await client.post(invite, { user_id: '@_bridge_ben:localhost' }, alice.token);
    expect(service.requests.map(({ path }) => path)).toContain('/_matrix/app/v1/users/@_bridge_ben:localhost');
    // Who exists is not asked for again.
    const before = service.requests.length;
    await client.get(`${v3}/profile/${ghost}`);
    expect(service.requests.slice(before).filter(({ path }) => path.includes('/users/'))).toEqual([]);
  });

  test('an old service is asked by the unversioned paths, with its token in the query', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    service.script = async ({ path }) => {
      if (path.startsWith('/_matrix/app/v1/')) return { status: 404 };
      if (path === `/users/${ghost}`) await makeGhost(bridged);
      return { status: 200 };
    };
    expect((await client.get(`${v3}/profile/${ghost}`)).status).toBe(200);
    const old = service.requests.find(({ path }) => path === `/users/${ghost}`);
    expect(old?.query.get('access_token')).toBe('hs"token');
    await client.post(`${v3}/createRoom?${as(ghost)}`, {}, asToken);
    await service.until(({ taken }) => taken.length > 0);
    expect(service.requests.at(-1)?.path).toMatch(/^\/transactions\/\d+$/);
  });
});

describe('ping', () => {
  const path = '/_matrix/client/v1/appservice/bridge/ping';

  test('passes the transaction id on and tells how long it took', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    service.script = () => ({ status: 200 });
    const { status, json } = await client.post(path, { transaction_id: 'meow' }, asToken);
    expect([status, json]).toEqual([200, { duration_ms: expect.any(Number) }]);
    const ping = service.requests.find((one) => one.path === '/_matrix/app/v1/ping');
    expect(ping).toMatchObject({ method: 'POST', json: { transaction_id: 'meow' }, authorization: 'Bearer hs"token' });
  });

  test('tells what is wrong', async () => {
    await using bridged = await startBridged();
    const { client, service } = bridged;
    const alice = await register(client, 'alice');
    expect((await client.post(path, {}, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    const other = await client.post('/_matrix/client/v1/appservice/other/ping', {}, asToken);
    expect([other.status, other.json.errcode]).toEqual([403, 'M_FORBIDDEN']);
    service.script = () => ({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
    const { status, json } = await client.post(path, {}, asToken);
    expect([status, json]).toMatchObject([
      502,
      { errcode: 'M_BAD_STATUS', status: 403, body: '{"errcode":"M_FORBIDDEN"}' },
    ]);
    await service[Symbol.asyncDispose]();
    const gone = await client.post(path, {}, asToken);
    expect([gone.status, gone.json.errcode]).toEqual([502, 'M_CONNECTION_FAILED']);
    await using _again = await startScriptedService(Number(new URL(service.url).port));
  });
});

describe('third-party networks', () => {
  test('answers of all bridges of a network are put together', async () => {
    await using one = await startScriptedService();
    await using two = await startScriptedService();
    const names = { as_token: 'two', hs_token: 'two', id: 'second', sender_localpart: 'secondbot' };
    const protocols = ['ymca'];
    await using files = await registrationFiles(
      registrationOf(one.url, { protocols }),
      registrationOf(two.url, { ...names, namespaces: {}, protocols }),
    );
    await using server = await startUserServer({ appservices: files.files });
    const { client } = server;
    const alice = await register(client, 'alice');
    const base = { user_fields: ['nick'], location_fields: ['channel'], icon: 'mxc://a/b', field_types: {} };
    one.script = ({ path }) => {
      if (path.includes('/protocol/'))
        return { status: 200, body: { ...base, instances: [{ desc: '1', network_id: 'n', fields: {} }] } };
      return { status: 200, body: [{ alias: '#a:localhost', protocol: 'ymca', fields: {} }] };
    };
    two.script = ({ path }) =>
      path.includes('/protocol/')
        ? { status: 200, body: { ...base, instances: [{ desc: '2', network_id: 'n', fields: {} }] } }
        : undefined;
    const get = (path: string) => client.get(`${v3}/thirdparty/${path}`, alice.token);
    const instances = [
      { desc: '1', network_id: 'n', fields: {}, instance_id: 'bridge|n' },
      { desc: '2', network_id: 'n', fields: {}, instance_id: 'second|n' },
    ];
    expect((await get('protocols')).json).toEqual({ ymca: { ...base, instances } });
    expect((await get('protocol/ymca')).json.instances).toEqual(instances);
    expect((await get('protocol/other')).status).toBe(404);
    expect((await get('location/ymca?channel=x')).json).toHaveLength(1);
    const asked = one.requests.find(({ path }) => path === '/_matrix/app/v1/thirdparty/location/ymca');
    expect([...(asked?.query ?? [])]).toEqual([['channel', 'x']]);
    expect((await get('location?alias=x')).json).toHaveLength(1);
    one.script = () => undefined;
    expect((await get('user/ymca?nick=x')).status).toBe(404);
  });

  test('rooms stand in the list of their network, apart from the servers own', async () => {
    await using bridged = await startBridged();
    const { client } = bridged;
    const alice = await register(client, 'alice');
    const roomId = await openRoom(client, alice);
    const path = `${v3}/directory/list/appservice/net/${encoded(roomId)}`;
    expect((await client.put(path, { visibility: 'public' }, alice.token)).json.errcode).toBe('M_FORBIDDEN');
    expect((await client.put(path, { visibility: 'public' }, asToken)).status).toBe(200);
    const rooms = async (body: object): Promise<string[]> => {
      const { json } = await client.post(`${v3}/publicRooms`, body, alice.token);
      return json.chunk.map((room: { room_id: string }) => room.room_id);
    };
    expect(await rooms({})).toEqual([]);
    expect(await rooms({ third_party_instance_id: 'bridge|net' })).toEqual([roomId]);
    expect(await rooms({ third_party_instance_id: 'bridge|other' })).toEqual([]);
    expect(await rooms({ include_all_networks: true })).toEqual([roomId]);
    await client.put(path, { visibility: 'private' }, asToken);
    expect(await rooms({ include_all_networks: true })).toEqual([]);
  });
});
