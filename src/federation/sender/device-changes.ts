/**
 * EDUs about devices and cross-signing keys (S-S API v1.19 §Device Management). The content is made when it is sent: what
 * the device is then. `prev_id` names the change that this server was sent before, so that one that got lost is noticed.
 */
import type { ServerName, UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';
import type { CrossSigning, DeviceKeys, Devices } from '../../userapi/index.ts';
import { deleteDeviceChange, selectChain, upsertChain, type DeviceChangeRow } from './storage.ts';

export interface DeviceEduParts {
  readonly devices: Devices;
  readonly deviceKeys: DeviceKeys;
  readonly crossSigning: CrossSigning;
}

/** The JSON text of the EDU for one change, which is taken from the server's queue; undefined: there is nothing to tell. */
export function takeDeviceChange(
  tx: Tx,
  parts: DeviceEduParts,
  server: ServerName,
  { position, user_id, device_id }: DeviceChangeRow,
): string | undefined {
  const user = user_id as UserId;
  tx.run(deleteDeviceChange, server, user, device_id);
  if (device_id === '') return signingKeyUpdate(tx, parts, user);
  const before = tx.get(selectChain, server, user)?.stream_id;
  tx.run(upsertChain, server, user, position);
  const content = {
    ...deviceContent(tx, parts, user, device_id),
    device_id,
    prev_id: before === undefined ? [] : [before],
    stream_id: position,
    user_id,
  };
  return JSON.stringify({ content, edu_type: 'm.device_list_update' });
}

function deviceContent(
  snapshot: Snapshot,
  { devices, deviceKeys }: DeviceEduParts,
  user: UserId,
  deviceId: string,
): JsonObject {
  const device = devices.get(snapshot, user, deviceId);
  if (device === undefined) return { deleted: true };
  const { unsigned: _unsigned, ...keys } = deviceKeys.query(snapshot, user, [deviceId], user)[deviceId] ?? {};
  return {
    ...(device.displayName === undefined ? {} : { device_display_name: device.displayName }),
    ...(Object.keys(keys).length === 0 ? {} : { keys }),
  };
}

function signingKeyUpdate(snapshot: Snapshot, { crossSigning }: DeviceEduParts, user: UserId): string | undefined {
  const master = crossSigning.get(snapshot, user, 'master', user);
  const selfSigning = crossSigning.get(snapshot, user, 'self_signing', user);
  if (master === undefined && selfSigning === undefined) return undefined;
  const content = {
    ...(master === undefined ? {} : { master_key: master }),
    ...(selfSigning === undefined ? {} : { self_signing_key: selfSigning }),
    user_id: user,
  };
  return JSON.stringify({ content, edu_type: 'm.signing_key_update' });
}
