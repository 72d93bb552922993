/** Dehydrated devices (MSC3814, under its unstable name). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { asPosition, type Database, type Position } from '../../storage/index.ts';
import type { DehydratedDevices, ToDevice } from '../../userapi/index.ts';
import { jsonObject, maybe } from './body.ts';

export interface DehydratedRouteParts {
  readonly db: Database;
  readonly dehydrated: DehydratedDevices;
  readonly toDevice: ToDevice;
}

const base = '/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device';
const eventsPerPage = 100;
const upload = v.object({
  device_id: v.string(),
  device_data: jsonObject,
  initial_device_display_name: maybe(v.string()),
  device_keys: jsonObject,
  one_time_keys: maybe(jsonObject),
  fallback_keys: maybe(jsonObject),
});
const page = v.object({ from: v.optional(v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'is no token of this endpoint'))) });

export function dehydratedRoutes(parts: DehydratedRouteParts): Route[] {
  const { db, dehydrated } = parts;
  return [
    route({
      method: 'PUT',
      path: base,
      auth: 'user',
      rate: 'keys',
      body: upload,
      handle: ({ requester: { userId }, body }) =>
        db.write((tx) => {
          dehydrated.put(tx, userId, {
            deviceId: body.device_id,
            deviceData: body.device_data,
            displayName: body.initial_device_display_name,
            deviceKeys: body.device_keys,
            oneTimeKeys: body.one_time_keys,
            fallbackKeys: body.fallback_keys,
          });
          return { device_id: body.device_id };
        }),
    }),
    route({
      method: 'GET',
      path: base,
      auth: 'user',
      rate: 'read',
      handle: ({ requester: { userId }, shown }) => {
        shown.key(`user:${userId}`);
        const device = db.read((snapshot) => dehydrated.get(snapshot, userId));
        if (device === undefined) throw matrixError.notFound('There is no dehydrated device');
        return device;
      },
    }),
    route({
      method: 'DELETE',
      path: base,
      auth: 'user',
      rate: 'keys',
      handle: ({ requester: { userId } }) => db.write((tx) => ({ device_id: dehydrated.delete(tx, userId) })),
    }),
    route({
      method: 'GET',
      path: `${base}/:deviceId/events`,
      auth: 'user',
      rate: 'read',
      query: page,
      handle: ({ requester: { userId }, params: { deviceId }, query, shown }) => {
        shown.key(`user:${userId}`);
        return waitingEvents(parts, userId, deviceId, asPosition(Number(query.from ?? 0)));
      },
    }),
  ];
}

/** A page of what waits for the dehydrated device behind `from`. @throws M_FORBIDDEN */
function waitingEvents(
  { db, dehydrated, toDevice }: DehydratedRouteParts,
  user: UserId,
  device: string,
  from: Position,
) {
  return db.read((snapshot) => {
    if (dehydrated.get(snapshot, user)?.device_id !== device) {
      throw matrixError.forbidden('This is not your dehydrated device');
    }
    const rows = toDevice.waiting(snapshot, user, device, from, db.head, eventsPerPage);
    const last = rows.at(-1)?.position;
    const events = rows.map(({ message }): unknown => JSON.parse(message));
    return { events, ...(last === undefined ? {} : { next_batch: String(last) }) };
  });
}
