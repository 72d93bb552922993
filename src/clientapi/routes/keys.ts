/** End-to-end keys of devices, cross-signing (C-S API v1.19 §End-to-End Encryption). */
import * as v from 'valibot';
import { route, type Requester, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseUserId, type UserId } from '../../matrix/ids.ts';
import { isJsonObject, type JsonObject } from '../../matrix/json.ts';
import type { Database, Shown, Tx } from '../../storage/index.ts';
import {
  keyUsages,
  type KeyUpload,
  type RemoteKeyAnswer,
  type RemoteUsers,
  type UserApi,
} from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export type KeyRouteParts = Pick<UserApi, 'accounts' | 'deviceKeys' | 'oneTimeKeys' | 'crossSigning' | 'uia'> & {
  readonly db: Database;
  readonly remoteKeys: RemoteUsers['keys'];
};

const keys = '/_matrix/client/v3/keys';
const upload = v.object({
  device_keys: maybe(jsonObject),
  one_time_keys: maybe(jsonObject),
  fallback_keys: maybe(jsonObject),
});
const timeout = maybe(v.pipe(v.number(), v.minValue(0)));
const query = v.object({ device_keys: v.record(v.string(), v.array(v.string())), timeout });
const claim = v.object({ one_time_keys: v.record(v.string(), v.record(v.string(), v.string())), timeout });
/** "The time (in milliseconds) to wait when downloading keys from remote servers. 10 seconds is the recommended default." */
const defaultTimeout = 10_000;
const crossSigningKeys = v.object({
  master_key: maybe(jsonObject),
  self_signing_key: maybe(jsonObject),
  user_signing_key: maybe(jsonObject),
});

/** The device whose keys these are. @throws M_FORBIDDEN for who has none */
function deviceOf({ deviceId }: Requester): string {
  if (deviceId === undefined) throw matrixError.forbidden('This token belongs to no device');
  return deviceId;
}

export function keyRoutes(parts: KeyRouteParts): Route[] {
  const { db, accounts, deviceKeys, oneTimeKeys, remoteKeys } = parts;
  const isKnown = (userId: string): userId is UserId =>
    db.read((snapshot) => accounts.get(snapshot, userId)?.deactivated === false);
  return [
    route({
      method: 'POST',
      path: `${keys}/upload`,
      auth: 'guest',
      rate: 'keys',
      body: upload,
      handle: ({ requester, body }) => {
        const { userId } = requester;
        const deviceId = deviceOf(requester);
        return db.write((tx) => {
          if (body.device_keys !== undefined) deviceKeys.upload(tx, userId, deviceId, body.device_keys);
          if (body.one_time_keys !== undefined) oneTimeKeys.add(tx, userId, deviceId, body.one_time_keys);
          if (body.fallback_keys !== undefined) oneTimeKeys.setFallback(tx, userId, deviceId, body.fallback_keys);
          return { one_time_key_counts: oneTimeKeys.counts(tx, userId, deviceId) };
        });
      },
    }),
    route({
      method: 'POST',
      path: `${keys}/query`,
      auth: 'guest',
      rate: 'keys',
      body: query,
      handle: async ({ requester: { userId }, body, shown }) => {
        const asked = Object.entries(body.device_keys);
        const remote = asked.flatMap(([name, only]) => {
          const user = parseUserId(name);
          return user === undefined || accounts.isLocal(user) ? [] : [[user, only] as const];
        });
        const answer = await remoteKeys.query(userId, remote, body.timeout ?? defaultTimeout);
        const own = asked.filter(([user]) => isKnown(user));
        return queryKeys(parts, userId, own, answer, shown);
      },
    }),
    route({
      method: 'POST',
      path: `${keys}/claim`,
      auth: 'guest',
      rate: 'keys',
      body: claim,
      handle: async ({ body }) => {
        const asked = Object.entries(body.one_time_keys);
        const [own, remote] = [true, false].map((local) =>
          asked.filter(([user]) => accounts.isLocal(user as UserId) === local),
        );
        const [claimed, answer] = await Promise.all([
          db.write((tx) => claimOwn(tx, parts, own ?? [])),
          remoteKeys.claim(Object.fromEntries(remote ?? []), body.timeout ?? defaultTimeout),
        ]);
        return { one_time_keys: { ...claimed, ...answer.keys }, failures: answer.failures };
      },
    }),
    ...crossSigningRoutes(parts),
  ];
}

/** Claims one-time keys of local users. */
function claimOwn(
  tx: Tx,
  { oneTimeKeys }: KeyRouteParts,
  asked: readonly (readonly [string, Readonly<Record<string, string>>])[],
): Record<string, Record<string, JsonObject>> {
  const claimed: Record<string, Record<string, JsonObject>> = {};
  for (const [userId, devices] of asked) {
    for (const [deviceId, algorithm] of Object.entries(devices)) {
      const key = oneTimeKeys.claim(tx, userId as UserId, deviceId, algorithm);
      if (key !== undefined) (claimed[userId] ??= {})[deviceId] = key;
    }
  }
  return claimed;
}

/** Keys of local users, as the requester may see them, beside what other servers answered (§POST /keys/query). */
function queryKeys(
  { db, deviceKeys, crossSigning }: KeyRouteParts,
  viewer: UserId,
  asked: readonly (readonly [string, readonly string[]])[],
  remote: RemoteKeyAnswer,
  shown: Shown,
): JsonObject {
  return db.read((snapshot) => {
    const devices: Record<string, JsonObject> = { ...remote.devices };
    for (const user of Object.keys(devices)) shown.key(`user:${user}`);
    const crossSigned: Record<'master' | 'self_signing' | 'user_signing', Record<string, JsonObject>> = {
      ...{ ...remote.signingKeys, user_signing: {} },
    };
    for (const [user, only] of asked) {
      const userId = user as UserId;
      shown.key(`user:${userId}`);
      devices[userId] = deviceKeys.query(snapshot, userId, only, viewer);
      for (const usage of keyUsages) {
        const key = crossSigning.get(snapshot, userId, usage, viewer);
        if (key !== undefined) crossSigned[usage][userId] = key;
      }
    }
    return {
      device_keys: devices,
      failures: remote.failures,
      master_keys: crossSigned.master,
      self_signing_keys: crossSigned.self_signing,
      user_signing_keys: crossSigned.user_signing,
    };
  });
}

function crossSigningRoutes({ db, accounts, crossSigning, remoteKeys, uia }: KeyRouteParts): Route[] {
  return [
    route({
      method: 'POST',
      path: `${keys}/device_signing/upload`,
      aliases: ['/_matrix/client/unstable/keys/device_signing/upload'],
      auth: 'user',
      rate: 'keys',
      body: jsonObject,
      handle: ({ requester, body }) => {
        const { userId } = requester;
        const store = (json: JsonObject) =>
          db.write((tx) => {
            crossSigning.upload(tx, userId, keyUpload(json));
            return {};
          });
        const needed = db.read((snapshot) => crossSigning.needsAuthentication(snapshot, userId, keyUpload(body)));
        if (!needed) return store(body);
        const request = { operation: 'cross-signing keys', requester, body };
        return uia.guardOwner(request, (granted) => store(granted.body));
      },
    }),
    route({
      method: 'POST',
      path: `${keys}/signatures/upload`,
      aliases: ['/_matrix/client/unstable/keys/signatures/upload'],
      auth: 'user',
      rate: 'keys',
      body: v.record(v.string(), v.record(v.string(), jsonObject)),
      handle: async ({ requester, body }) => {
        const remote = Object.keys(body).flatMap((name) => parseUserId(name) ?? []);
        await remoteKeys.ensure(
          remote.filter((user) => !accounts.isLocal(user)),
          defaultTimeout,
        );
        return db.write((tx) => {
          const failures: Record<string, Record<string, JsonObject>> = {};
          for (const [owner, signed] of Object.entries(body)) {
            for (const [keyId, object] of Object.entries(signed)) {
              const fault = crossSigning.addSignature(tx, requester.userId, owner as UserId, keyId, object);
              if (fault !== undefined) (failures[owner] ??= {})[keyId] = fault.toJSON();
            }
          }
          return { failures };
        });
      },
    }),
  ];
}

function keyUpload(body: JsonObject): KeyUpload {
  const read = readBody(crossSigningKeys, body);
  const given = { master: read.master_key, self_signing: read.self_signing_key, user_signing: read.user_signing_key };
  return Object.fromEntries(Object.entries(given).filter(([, key]) => isJsonObject(key)));
}
