/** Devices (C-S API v1.19 §Device Management). */
import * as v from 'valibot';
import { Reply, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Database } from '../../storage/index.ts';
import type { Device, Devices, Uia } from '../../userapi/index.ts';
import { jsonObject, maybe, readBody } from './body.ts';

export interface DeviceRouteParts {
  readonly db: Database;
  readonly devices: Devices;
  readonly uia: Uia;
}

const v3 = '/_matrix/client/v3';
const deviceIds = v.object({ devices: v.array(v.string()) });

const deviceBody = ({ deviceId, displayName, lastSeenAt, lastSeenIp }: Device): JsonObject => ({
  device_id: deviceId,
  ...(displayName === undefined ? {} : { display_name: displayName }),
  ...(lastSeenAt === undefined ? {} : { last_seen_ts: lastSeenAt }),
  ...(lastSeenIp === undefined ? {} : { last_seen_ip: lastSeenIp }),
});

const unknownDevice = () => matrixError.notFound('There is no such device');

export const deviceRoutes = (parts: DeviceRouteParts): Route[] => [...deviceRows(parts), ...deletionRows(parts)];

function deviceRows({ db, devices }: DeviceRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${v3}/devices`,
      auth: 'guest',
      rate: 'none',
      handle: ({ requester: { userId }, shown }) => {
        shown.key(`user:${userId}`);
        return { devices: db.read((snapshot) => devices.list(snapshot, userId)).map(deviceBody) };
      },
    }),
    route({
      method: 'GET',
      path: `${v3}/devices/:deviceId`,
      auth: 'guest',
      rate: 'none',
      handle: ({ requester: { userId }, params, shown }) => {
        shown.key(`user:${userId}`);
        const device = db.read((snapshot) => devices.get(snapshot, userId, params.deviceId));
        if (device === undefined) throw unknownDevice();
        return deviceBody(device);
      },
    }),
    route({
      method: 'PUT',
      path: `${v3}/devices/:deviceId`,
      auth: 'guest',
      rate: 'none',
      body: v.object({ display_name: maybe(v.string()) }),
      handle: ({ requester: { userId, appserviceId }, params: { deviceId }, body: { display_name: name } }) =>
        db.write((tx) => {
          // A-S API §Creating devices: an unknown one is made.
          if (appserviceId !== undefined && devices.create(tx, userId, deviceId, name)) return new Reply(201, {});
          const found =
            name === undefined
              ? devices.get(tx, userId, deviceId) !== undefined
              : devices.rename(tx, userId, deviceId, name);
          if (!found) throw unknownDevice();
          return {};
        }),
    }),
  ];
}

/** Ending sessions takes User-Interactive Authentication. */
function deletionRows({ db, devices, uia }: DeviceRouteParts): Route[] {
  return [
    route({
      method: 'DELETE',
      path: `${v3}/devices/:deviceId`,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: ({ requester, params: { deviceId }, body }) =>
        uia.guardOwner({ operation: `delete device ${deviceId}`, requester, body }, () =>
          db.write((tx) => {
            devices.delete(tx, requester.userId, deviceId);
            return {};
          }),
        ),
    }),
    route({
      method: 'POST',
      path: `${v3}/delete_devices`,
      auth: 'user',
      rate: 'none',
      body: jsonObject,
      handle: ({ requester, body }) =>
        uia.guardOwner({ operation: 'delete devices', requester, body }, (granted) => {
          const { devices: ids } = readBody(deviceIds, granted.body);
          return db.write((tx) => {
            for (const deviceId of ids) devices.delete(tx, requester.userId, deviceId);
            return {};
          });
        }),
    }),
  ];
}
