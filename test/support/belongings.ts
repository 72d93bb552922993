/** One of everything that a user of this server can have. */
import { enc } from './admin.ts';
import type { TestClient, TestResponse } from './http.ts';
import type { PathValues } from './operation-requests.ts';
import { say, sync, v3, type TestSession } from './userapi.ts';

/** Stands in everything that is the user's alone. */
export const secret = 'XsaidXtoXnobodyXelse';

/** A private room and one of everything that belongs to a user. */
export async function furnish(http: TestClient, session: TestSession): Promise<PathValues> {
  const { token, userId } = session;
  const must = async (answer: Promise<TestResponse>) => {
    const { status, json, text } = await answer;
    if (status !== 200) throw new Error(text);
    return json;
  };
  const room = { preset: 'private_chat', name: secret, topic: secret, room_alias_name: userId.slice(1, -10) };
  const roomId: string = (await must(http.post(`${v3}/createRoom`, room, token))).room_id;
  const eventId = await say(http, roomId, session, { body: `${secret} said` });
  const self = `${v3}/user/${enc(userId)}`;
  await must(http.put(`${self}/account_data/x.private`, { secret }, token));
  await must(http.put(`${self}/rooms/${enc(roomId)}/account_data/x.private`, { secret }, token));
  await must(http.put(`${self}/rooms/${enc(roomId)}/tags/u.private`, { order: 0.5 }, token));
  const filter = await must(http.post(`${self}/filter`, { room: { rooms: [roomId] } }, token));
  await must(http.put(`${v3}/devices/${session.deviceId}`, { display_name: secret }, token));
  const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
  const backup = await must(http.post(`${v3}/room_keys/version`, { algorithm, auth_data: { secret } }, token));
  const key = { first_message_index: 0, forwarded_count: 0, is_verified: true, session_data: { secret } };
  await must(http.put(`${v3}/room_keys/keys/${enc(roomId)}/s?version=${backup.version}`, key, token));
  await must(http.put(`${v3}/pushrules/global/room/${enc(roomId)}`, { actions: ['notify'] }, token));
  const data = { url: 'https://push.example.org/_matrix/push/v1/notify' };
  const pusher = { kind: 'http', app_id: secret, pushkey: secret, app_display_name: 'a', device_display_name: 'b' };
  await must(http.post(`${v3}/pushers/set`, { ...pusher, lang: 'en', data }, token));
  return {
    userId,
    roomId,
    eventId,
    deviceId: session.deviceId,
    roomAlias: `#${room.room_alias_name}:localhost`,
    filterId: filter.filter_id,
    version: backup.version,
  };
}

/** All that a user can read of what is his. */
export async function belongings(
  http: TestClient,
  session: TestSession,
  { roomId = '', version = '', userId = '' }: PathValues,
) {
  const read = async (path: string): Promise<unknown> => (await http.get(v3 + path, session.token)).json;
  const { next_batch: _, presence: __, ...synced } = await sync(http, session, undefined, '&full_state=true');
  const paths = [
    '/devices',
    '/account/3pid',
    '/joined_rooms',
    '/pushers',
    '/pushrules/',
    `/profile/${userId}`,
    `/room_keys/version/${version}`,
    `/room_keys/keys?version=${version}`,
    `/rooms/${enc(roomId)}/messages?dir=b&limit=100`,
    `/rooms/${enc(roomId)}/members`,
    `/rooms/${enc(roomId)}/aliases`,
    `/directory/list/room/${enc(roomId)}`,
  ];
  const rest = Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await read(path)] as const)));
  return JSON.parse(
    JSON.stringify({ synced, rest }, (key, value: unknown) => (/^(age|start|last_seen_\w+)$/.test(key) ? 0 : value)),
  );
}
