/** Devices and keys of our users for other servers (S-S API v1.19 §Device Management, §End-to-End Encryption). */
import * as v from 'valibot';
import { demandUserId, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName, UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Database, Shown, Snapshot, Tx } from '../../storage/index.ts';
import type { UserApi } from '../../userapi/index.ts';
import type { FederationSender } from '../sender/index.ts';

export type UserKeyRouteParts = Pick<
  UserApi,
  'accounts' | 'crossSigning' | 'deviceKeys' | 'deviceLists' | 'oneTimeKeys'
> & { readonly db: Database; readonly sender: Pick<FederationSender, 'sentStream'> };

const query = v.object({ device_keys: v.record(v.string(), v.array(v.string())) });
const claim = v.object({ one_time_keys: v.record(v.string(), v.record(v.string(), v.string())) });
/** Users in one question. */
const maxUsers = 2000;

/** Keys with the owner's own signatures: nobody is told whom others have verified. */
function keysOf({ crossSigning, deviceKeys }: UserKeyRouteParts, snapshot: Snapshot, user: UserId, only: string[]) {
  return {
    devices: deviceKeys.query(snapshot, user, only, user),
    master: crossSigning.get(snapshot, user, 'master', user),
    selfSigning: crossSigning.get(snapshot, user, 'self_signing', user),
  };
}

export function userKeyRoutes(parts: UserKeyRouteParts): Route[] {
  const { db, accounts } = parts;
  return [
    route({
      method: 'GET',
      path: '/_matrix/federation/v1/user/devices/:userId',
      auth: 'server',
      rate: 'federation',
      handle: ({ origin, params, shown }) => {
        const userId = demandUserId(params.userId);
        if (!accounts.isLocal(userId)) throw matrixError.invalidParam('This is no user of this server');
        shown.key(`user:${userId}`);
        return db.read((snapshot) => deviceListFor(parts, snapshot, origin, userId));
      },
    }),
    route({
      method: 'POST',
      path: '/_matrix/federation/v1/user/keys/query',
      auth: 'server',
      rate: 'federation',
      body: query,
      handle: ({ body, shown }) =>
        db.read((snapshot) => {
          const asked = Object.entries(body.device_keys).slice(0, maxUsers);
          const ours = asked.filter(([userId]) => isOurs(parts, snapshot, userId));
          return queryKeys(parts, snapshot, ours, shown);
        }),
    }),
    route({
      method: 'POST',
      path: '/_matrix/federation/v1/user/keys/claim',
      auth: 'server',
      rate: 'federation',
      body: claim,
      handle: ({ body }) => db.write((tx) => ({ one_time_keys: claimKeys(parts, tx, body.one_time_keys) })),
    }),
  ];
}

const isOurs = ({ accounts }: UserKeyRouteParts, snapshot: Snapshot, userId: string): userId is UserId =>
  accounts.get(snapshot, userId)?.deactivated === false;

function deviceListFor(parts: UserKeyRouteParts, snapshot: Snapshot, origin: ServerName, userId: UserId): JsonObject {
  const { devices, master, selfSigning } = keysOf(parts, snapshot, userId, []);
  return {
    user_id: userId,
    // "… used to correlate with subsequent `m.device_list_update` EDUs": the next one will name this as its `prev_id`.
    stream_id: parts.sender.sentStream(snapshot, origin, userId) ?? parts.deviceLists.streamId(snapshot, userId),
    devices: Object.entries(devices).map(([deviceId, { unsigned, ...keys }]) => ({
      device_id: deviceId,
      keys,
      ...(unsigned as JsonObject),
    })),
    ...(master === undefined ? {} : { master_key: master }),
    ...(selfSigning === undefined ? {} : { self_signing_key: selfSigning }),
  };
}

function queryKeys(
  parts: UserKeyRouteParts,
  snapshot: Snapshot,
  asked: readonly (readonly [string, string[]])[],
  shown: Shown,
): JsonObject {
  const devices: Record<string, JsonObject> = {};
  const masters: Record<string, JsonObject> = {};
  const selfSigning: Record<string, JsonObject> = {};
  for (const [user, only] of asked) {
    const userId = user as UserId;
    shown.key(`user:${userId}`);
    const keys = keysOf(parts, snapshot, userId, only);
    devices[userId] = keys.devices;
    if (keys.master !== undefined) masters[userId] = keys.master;
    if (keys.selfSigning !== undefined) selfSigning[userId] = keys.selfSigning;
  }
  return { device_keys: devices, master_keys: masters, self_signing_keys: selfSigning };
}

/** Takes one key of each device that is asked for: user → device → algorithm. */
function claimKeys(
  parts: UserKeyRouteParts,
  tx: Tx,
  asked: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Record<string, Record<string, JsonObject>> {
  const claimed: Record<string, Record<string, JsonObject>> = {};
  for (const [userId, devices] of Object.entries(asked).slice(0, maxUsers)) {
    if (!isOurs(parts, tx, userId)) continue;
    for (const [deviceId, algorithm] of Object.entries(devices)) {
      const key = parts.oneTimeKeys.claim(tx, userId, deviceId, algorithm);
      if (key !== undefined) (claimed[userId] ??= {})[deviceId] = key;
    }
  }
  return claimed;
}
