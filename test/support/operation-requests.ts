/** A request for each operation of the Client-Server API that is right in shape, for tests that ask for all of them. */
import type { Operation } from './reply-check.ts';

/** What stands for `{name}` in paths. */
export type PathValues = Readonly<Record<string, string>>;

export interface OperationRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

const room = (ids: PathValues) => ids['roomId'] ?? '';
const user = (ids: PathValues) => ids['userId'] ?? '';
const device = (ids: PathValues) => ids['deviceId'] ?? '';
const session = { first_message_index: 0, forwarded_count: 0, is_verified: true, session_data: { x: 'overwritten' } };
const aboutUser = (ids: PathValues) => ({ user_id: user(ids) });

/** Bodies where an empty object would be refused for its shape alone. */
const bodies: Readonly<Record<string, (ids: PathValues) => unknown>> = {
  'PUT /v1/admin/lock/{userId}': () => ({ locked: true }),
  'PUT /v1/admin/suspend/{userId}': () => ({ suspended: true }),
  'POST /v3/account/3pid/add': () => ({ sid: '1', client_secret: 'secret' }),
  'POST /v3/account/3pid/delete': () => ({ medium: 'email', address: 'alice@example.org' }),
  'POST /v3/account/3pid/unbind': () => ({ medium: 'email', address: 'alice@example.org' }),
  'POST /v3/account/password': () => ({ new_password: 'another password' }),
  'POST /v3/delete_devices': (ids) => ({ devices: [device(ids)] }),
  'PUT /v3/devices/{deviceId}': () => ({ display_name: 'overwritten' }),
  'PUT /v3/directory/list/room/{roomId}': () => ({ visibility: 'public' }),
  'PUT /v3/directory/list/appservice/{networkId}/{roomId}': () => ({ visibility: 'public' }),
  'PUT /v3/directory/room/{roomAlias}': (ids) => ({ room_id: room(ids) }),
  'POST /v3/keys/query': (ids) => ({ device_keys: { [user(ids)]: [] } }),
  'POST /v3/keys/claim': () => ({ one_time_keys: {} }),
  'POST /v3/keys/signatures/upload': (ids) => ({ [user(ids)]: { [device(ids)]: { user_id: user(ids) } } }),
  'POST /v3/login': (ids) => ({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: user(ids) },
    password: 'a wrong password',
  }),
  'POST /v3/login/get_token': () => ({}),
  'PUT /v3/presence/{userId}/status': () => ({ presence: 'unavailable' }),
  'PUT /v3/profile/{userId}/{keyName}': ({ keyName = '' }) => ({ [keyName]: 'overwritten' }),
  'POST /v3/pushers/set': () => ({
    kind: 'http',
    app_id: 'app',
    pushkey: 'key',
    app_display_name: 'a',
    device_display_name: 'b',
    lang: 'en',
    data: { url: 'https://push.example.org/_matrix/push/v1/notify' },
  }),
  'PUT /v3/pushrules/global/{kind}/{ruleId}': () => ({ actions: ['notify'], conditions: [] }),
  'PUT /v3/pushrules/global/{kind}/{ruleId}/actions': () => ({ actions: [] }),
  'PUT /v3/pushrules/global/{kind}/{ruleId}/enabled': () => ({ enabled: false }),
  'PUT /v3/room_keys/keys': (ids) => ({ rooms: { [room(ids)]: { sessions: { s: session } } } }),
  'PUT /v3/room_keys/keys/{roomId}': () => ({ sessions: { s: session } }),
  'PUT /v3/room_keys/keys/{roomId}/{sessionId}': () => session,
  'POST /v3/room_keys/version': () => ({ algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} }),
  'PUT /v3/room_keys/version/{version}': ({ version }) => ({
    algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
    auth_data: { x: 'overwritten' },
    version,
  }),
  'POST /v3/rooms/{roomId}/ban': aboutUser,
  'POST /v3/rooms/{roomId}/invite': aboutUser,
  'POST /v3/rooms/{roomId}/kick': aboutUser,
  'POST /v3/rooms/{roomId}/unban': aboutUser,
  'POST /v3/rooms/{roomId}/read_markers': ({ eventId }) => ({ 'm.fully_read': eventId }),
  'POST /v3/rooms/{roomId}/report': () => ({ reason: 'spam' }),
  'POST /v3/rooms/{roomId}/report/{eventId}': () => ({ reason: 'spam' }),
  'PUT /v3/rooms/{roomId}/send/{eventType}/{txnId}': () => ({ msgtype: 'm.text', body: 'overwritten' }),
  'PUT /v3/rooms/{roomId}/state/{eventType}/{stateKey}': () => ({ name: 'overwritten' }),
  'PUT /v3/rooms/{roomId}/typing/{userId}': () => ({ typing: true, timeout: 1000 }),
  'POST /v3/rooms/{roomId}/upgrade': () => ({ new_version: '11' }),
  'POST /v3/search': () => ({ search_categories: { room_events: { search_term: 'said' } } }),
  'PUT /v3/sendToDevice/{eventType}/{txnId}': () => ({ messages: {} }),
  'PUT /v3/user/{userId}/account_data/{type}': () => ({ x: 'overwritten' }),
  'PUT /v3/user/{userId}/rooms/{roomId}/account_data/{type}': () => ({ x: 'overwritten' }),
  'PUT /v3/user/{userId}/rooms/{roomId}/tags/{tag}': () => ({ order: 0.9 }),
  'POST /v3/user_directory/search': () => ({ search_term: 'alice' }),
  'POST /v3/users/{userId}/report': () => ({ reason: 'spam' }),
};

/** Queries that an operation asks for, or that keep it from waiting. */
const queries: Readonly<Record<string, (ids: PathValues) => Readonly<Record<string, string>>>> = {
  'GET /v1/media/preview_url': () => ({ url: 'http://127.0.0.1:1/' }),
  'GET /_matrix/media/v3/preview_url': () => ({ url: 'http://127.0.0.1:1/' }),
  'GET /v1/media/thumbnail/{serverName}/{mediaId}': () => ({ width: '32', height: '32' }),
  'GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}': () => ({ width: '32', height: '32' }),
  'GET /v1/mutual_rooms': (ids) => ({ user_id: user(ids) }),
  'GET /v1/register/m.login.registration_token/validity': () => ({ token: 'x' }),
  'GET /v1/rooms/{roomId}/timestamp_to_event': () => ({ ts: '0', dir: 'f' }),
  'GET /v3/events': (ids) => ({ timeout: '0', room_id: room(ids) }),
  'GET /v3/keys/changes': () => ({ from: '1', to: '2' }),
  'GET /v3/register/available': () => ({ username: 'somebody' }),
  'GET /v3/room_keys/keys': ({ version = '' }) => ({ version }),
  'PUT /v3/room_keys/keys': ({ version = '' }) => ({ version }),
  'DELETE /v3/room_keys/keys': ({ version = '' }) => ({ version }),
  'GET /v3/room_keys/keys/{roomId}': ({ version = '' }) => ({ version }),
  'PUT /v3/room_keys/keys/{roomId}': ({ version = '' }) => ({ version }),
  'DELETE /v3/room_keys/keys/{roomId}': ({ version = '' }) => ({ version }),
  'GET /v3/room_keys/keys/{roomId}/{sessionId}': ({ version = '' }) => ({ version }),
  'PUT /v3/room_keys/keys/{roomId}/{sessionId}': ({ version = '' }) => ({ version }),
  'DELETE /v3/room_keys/keys/{roomId}/{sessionId}': ({ version = '' }) => ({ version }),
  'GET /v3/rooms/{roomId}/messages': () => ({ dir: 'b' }),
  'GET /v3/sync': () => ({ timeout: '0' }),
};

/** `GET /v3/sync`: what an operation is called in tables. */
export const nameOf = ({ method, path }: Operation): string => `${method} ${path.replace('/_matrix/client', '')}`;

/** A state key of nothing, a new transaction id: what the path needs and `ids` need not name. */
export function requestOf(operation: Operation, ids: PathValues): OperationRequest {
  const { method, path } = operation;
  const name = nameOf(operation);
  const values: PathValues = {
    eventType: name.includes('/state/') ? 'm.room.name' : 'm.room.message',
    stateKey: '',
    txnId: `walk${Math.random()}`,
    type: 'x.private',
    tag: 'u.private',
    keyName: 'displayname',
    relType: 'm.thread',
    receiptType: 'm.read',
    kind: 'override',
    ruleId: '.m.rule.master',
    fileName: 'file.txt',
    serverName: 'localhost',
    sessionId: 's',
    roomIdOrAlias: room(ids),
    ...ids,
  };
  const filled = path.replaceAll(/\{([^}]+)\}/g, (_, key: string) => encodeURIComponent(values[key] ?? 'none'));
  const query = new URLSearchParams(queries[name]?.(values)).toString();
  const body = method === 'GET' ? undefined : (bodies[name]?.(values) ?? {});
  return { method, path: query === '' ? filled : `${filled}?${query}`, ...(body === undefined ? {} : { body }) };
}
