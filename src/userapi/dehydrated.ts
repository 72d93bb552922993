/**
 * Dehydrated devices (MSC3814, unstable name org.matrix.msc3814.v1): one device per user that has keys and a message queue
 * but no client; its secrets lie encrypted on the server until a client takes them up.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject, JsonValue } from '../matrix/json.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { Devices } from './devices.ts';
import type { DeviceKeys } from './keys.ts';
import type { OneTimeKeys } from './one-time-keys.ts';

export interface DehydratedUpload {
  readonly deviceId: string;
  readonly deviceData: JsonObject;
  readonly displayName?: string | undefined;
  readonly deviceKeys: JsonObject;
  readonly oneTimeKeys?: JsonObject | undefined;
  readonly fallbackKeys?: JsonObject | undefined;
}

const selectDevice = sql<[userId: string], { device_id: string; device_data: string }>(
  'SELECT device_id, device_data FROM userapi_dehydrated_devices WHERE user_id = ?',
);
const insertDevice = sql<[userId: string, deviceId: string, data: string]>(
  'INSERT INTO userapi_dehydrated_devices (user_id, device_id, device_data) VALUES (?, ?, ?)',
);
const deleteDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_dehydrated_devices WHERE user_id = ? AND device_id = ?',
);

export class DehydratedDevices {
  readonly #devices: Devices;
  readonly #deviceKeys: DeviceKeys;
  readonly #oneTimeKeys: OneTimeKeys;

  constructor(devices: Devices, deviceKeys: DeviceKeys, oneTimeKeys: OneTimeKeys) {
    this.#devices = devices;
    this.#deviceKeys = deviceKeys;
    this.#oneTimeKeys = oneTimeKeys;
    devices.onChange({ deleted: (tx, userId, deviceId) => void tx.run(deleteDevice, userId, deviceId) });
  }

  /** Replaces the user's dehydrated device. @throws M_INVALID_PARAM, M_FORBIDDEN, M_BAD_JSON */
  put(tx: Tx, userId: UserId, upload: DehydratedUpload): void {
    const { deviceId } = upload;
    const before = tx.get(selectDevice, userId);
    if (before !== undefined) this.#devices.delete(tx, userId, before.device_id);
    if (!this.#devices.create(tx, userId, deviceId, upload.displayName, true)) {
      throw matrixError.invalidParam('There is a device of this id');
    }
    this.#deviceKeys.upload(tx, userId, deviceId, upload.deviceKeys);
    this.#oneTimeKeys.add(tx, userId, deviceId, upload.oneTimeKeys ?? {});
    this.#oneTimeKeys.setFallback(tx, userId, deviceId, upload.fallbackKeys ?? {});
    tx.run(insertDevice, userId, deviceId, JSON.stringify(upload.deviceData));
  }

  get(snapshot: Snapshot, userId: UserId): { device_id: string; device_data: JsonValue } | undefined {
    const row = snapshot.get(selectDevice, userId);
    return row && { device_id: row.device_id, device_data: JSON.parse(row.device_data) as JsonValue };
  }

  /** Deletes it; returns its id. @throws M_NOT_FOUND */
  delete(tx: Tx, userId: UserId): string {
    const row = tx.get(selectDevice, userId);
    if (row === undefined) throw matrixError.notFound('There is no dehydrated device');
    this.#devices.delete(tx, userId, row.device_id);
    return row.device_id;
  }
}
