/** Server-side key backups (C-S API v1.19 §Server-side key backups). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { isJsonObject, type JsonValue } from '../../matrix/json.ts';
import type { Database } from '../../storage/index.ts';
import type { KeyBackups } from '../../userapi/index.ts';

export interface KeyBackupRouteParts {
  readonly db: Database;
  readonly keyBackups: KeyBackups;
}

const base = '/_matrix/client/v3/room_keys';
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const anyData = v.custom<JsonValue>((value) => value !== undefined && value !== null, 'expected data');
const key = v.object({
  first_message_index: count,
  forwarded_count: count,
  is_verified: v.boolean(),
  // "Algorithm-dependent data", which the server never looks at.
  session_data: anyData,
});
const sessions = v.object({ sessions: v.record(v.string(), key) });
const rooms = v.object({ rooms: v.record(v.string(), sessions) });
const version = v.object({ version: v.string() });
/** "Algorithm-dependent data": that of the specification's own algorithm is an object. */
const hasShape = <T extends { algorithm: string; auth_data: JsonValue }>() =>
  v.check<T, string>(
    ({ algorithm, auth_data: data }) => algorithm !== 'm.megolm_backup.v1.curve25519-aes-sha2' || isJsonObject(data),
    'auth_data: expected an object',
  );
const newBackup = v.pipe(v.object({ algorithm: v.string(), auth_data: anyData }), hasShape());
const changedBackup = v.pipe(
  v.object({ algorithm: v.string(), auth_data: anyData, version: v.optional(v.string()) }),
  hasShape(),
);

export function keyBackupRoutes(parts: KeyBackupRouteParts): Route[] {
  return [...versionRoutes(parts), ...keyRoutes(parts)];
}

function versionRoutes({ db, keyBackups }: KeyBackupRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: `${base}/version`,
      auth: 'user',
      rate: 'write',
      body: newBackup,
      handle: ({ requester: { userId }, body }) =>
        db.write((tx) => ({ version: keyBackups.create(tx, userId, body.algorithm, body.auth_data) })),
    }),
    route({
      method: 'GET',
      path: `${base}/version`,
      auth: 'user',
      rate: 'read',
      handle: ({ requester: { userId }, shown }) => {
        shown.key(`user:${userId}`);
        return db.read((snapshot) => keyBackups.info(snapshot, userId));
      },
    }),
    route({
      method: 'GET',
      path: `${base}/version/:version`,
      auth: 'user',
      rate: 'read',
      handle: ({ requester: { userId }, params, shown }) => {
        shown.key(`user:${userId}`);
        return db.read((snapshot) => keyBackups.info(snapshot, userId, params.version));
      },
    }),
    route({
      method: 'PUT',
      path: `${base}/version/:version`,
      auth: 'user',
      rate: 'write',
      body: changedBackup,
      handle: ({ requester: { userId }, params, body: { algorithm, auth_data: authData, version: named } }) =>
        db.write((tx) => {
          keyBackups.update(tx, userId, params.version, { algorithm, authData, version: named });
          return {};
        }),
    }),
    route({
      method: 'DELETE',
      path: `${base}/version/:version`,
      auth: 'user',
      rate: 'write',
      handle: ({ requester: { userId }, params }) =>
        db.write((tx) => {
          keyBackups.delete(tx, userId, params.version);
          return {};
        }),
    }),
  ];
}

/** All keys, those of a room, and one: three shapes of the same operations. */
function keyRoutes({ db, keyBackups }: KeyBackupRouteParts): Route[] {
  const all = `${base}/keys` as const;
  const ofRoom = `${base}/keys/:roomId` as const;
  const one = `${base}/keys/:roomId/:sessionId` as const;
  return [
    route({
      method: 'PUT',
      path: all,
      ...{ auth: 'user', rate: 'write', query: version, body: rooms },
      handle: ({ requester: { userId }, query, body }) =>
        db.write((tx) => keyBackups.put(tx, userId, query.version, body.rooms)),
    }),
    route({
      method: 'PUT',
      path: ofRoom,
      ...{ auth: 'user', rate: 'write', query: version, body: sessions },
      handle: ({ requester: { userId }, params: { roomId }, query, body }) =>
        db.write((tx) => keyBackups.put(tx, userId, query.version, { [roomId]: body })),
    }),
    route({
      method: 'PUT',
      path: one,
      ...{ auth: 'user', rate: 'write', query: version, body: key },
      handle: ({ requester: { userId }, params: { roomId, sessionId }, query, body }) =>
        db.write((tx) => keyBackups.put(tx, userId, query.version, { [roomId]: { sessions: { [sessionId]: body } } })),
    }),
    ...[all, ofRoom, one].flatMap((path) => [
      route({
        method: 'GET',
        path: path as typeof one,
        ...{ auth: 'user', rate: 'read', query: version },
        handle: ({ requester: { userId }, params: { roomId, sessionId }, query, shown }) => {
          shown.key(`user:${userId}`);
          const found = db.read((snapshot) => keyBackups.get(snapshot, userId, query.version, { roomId, sessionId }));
          if (path === all) return { rooms: found };
          if (path === ofRoom) return found[roomId] ?? { sessions: {} };
          const session = found[roomId]?.sessions[sessionId];
          if (session === undefined) throw matrixError.notFound('There is no such key');
          return session;
        },
      }),
      route({
        method: 'DELETE',
        path: path as typeof one,
        ...{ auth: 'user', rate: 'write', query: version },
        handle: ({ requester: { userId }, params: { roomId, sessionId }, query }) =>
          db.write((tx) => keyBackups.deleteKeys(tx, userId, query.version, { roomId, sessionId })),
      }),
    ]),
  ];
}
