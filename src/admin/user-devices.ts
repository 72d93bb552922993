/** Devices and pushers of other users, for administrators. */
import * as v from 'valibot';
import { maybe, route, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Push } from '../push/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Accounts, Device, Devices } from '../userapi/index.ts';
import { localAccount, v1, v2 } from './common.ts';

export interface UserDeviceParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly devices: Devices;
  readonly push: Pick<Push, 'pushers'>;
}

const all = `${v2}/users/:userId/devices` as const;
const one = `${all}/:deviceId` as const;

const describe = (userId: UserId, device: Device): JsonObject => ({
  device_id: device.deviceId,
  display_name: device.displayName ?? null,
  last_seen_ip: device.lastSeenIp ?? null,
  last_seen_user_agent: device.lastSeenAgent ?? null,
  last_seen_ts: device.lastSeenAt ?? null,
  user_id: userId,
  dehydrated: false,
});

const unknownDevice = () => matrixError.notFound('There is no such device');

export function userDeviceRoutes(parts: UserDeviceParts): Route[] {
  const { db, devices } = parts;
  const userOf = (snapshot: Snapshot, userId: string): UserId => localAccount(snapshot, parts, userId).userId;
  return [
    route({
      method: 'GET',
      path: all,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        shown.key(`user:${params.userId}`);
        return db.read((snapshot) => {
          const userId = userOf(snapshot, params.userId);
          const listed = devices.list(snapshot, userId).map((device) => describe(userId, device));
          return { devices: listed, total: listed.length };
        });
      },
    }),
    route({
      method: 'POST',
      path: all,
      auth: 'admin',
      rate: 'none',
      body: v.object({ device_id: v.string(), display_name: maybe(v.string()) }),
      handle: ({ params, body }) =>
        db.write((tx) => {
          devices.create(tx, userOf(tx, params.userId), body.device_id, body.display_name);
          return {};
        }),
    }),
    route({
      method: 'POST',
      path: `${v2}/users/:userId/delete_devices`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ devices: v.array(v.string()) }),
      handle: ({ params, body }) =>
        db.write((tx) => {
          const userId = userOf(tx, params.userId);
          for (const deviceId of body.devices) devices.delete(tx, userId, deviceId);
          return {};
        }),
    }),
    ...deviceRoutes(parts, userOf),
    route({
      method: 'GET',
      path: `${v1}/users/:userId/pushers`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        shown.key(`user:${params.userId}`);
        return db.read((snapshot) => {
          const pushers = parts.push.pushers.list(snapshot, userOf(snapshot, params.userId));
          return { pushers, total: pushers.length };
        });
      },
    }),
  ];
}

function deviceRoutes({ db, devices }: UserDeviceParts, userOf: (s: Snapshot, userId: string) => UserId): Route[] {
  return [
    route({
      method: 'GET',
      path: one,
      auth: 'admin',
      rate: 'none',
      handle: ({ params, shown }) => {
        shown.key(`user:${params.userId}`);
        return db.read((snapshot) => {
          const userId = userOf(snapshot, params.userId);
          const device = devices.get(snapshot, userId, params.deviceId);
          if (device === undefined) throw unknownDevice();
          return describe(userId, device);
        });
      },
    }),
    route({
      method: 'PUT',
      path: one,
      auth: 'admin',
      rate: 'none',
      body: v.object({ display_name: maybe(v.string()) }),
      handle: ({ params, body }) =>
        db.write((tx) => {
          const userId = userOf(tx, params.userId);
          const { deviceId } = params;
          if (devices.get(tx, userId, deviceId) === undefined) throw unknownDevice();
          if (body.display_name !== undefined) devices.rename(tx, userId, deviceId, body.display_name);
          return {};
        }),
    }),
    route({
      method: 'DELETE',
      path: one,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) =>
        db.write((tx) => {
          devices.delete(tx, userOf(tx, params.userId), params.deviceId);
          return {};
        }),
    }),
  ];
}
