/**
 * What another server tells of its users' keys, checked before it is kept or shown (S-S API v1.19 §Device Management,
 * §End-to-End Encryption): keys that name another user or device are refused, and only the owner's own signatures stay,
 * since those of others are for them alone to see. Clients verify the signatures themselves.
 */
import type { DevicesAnswer } from '../../fedclient/index.ts';
import { parseDeviceId, type UserId } from '../../matrix/ids.ts';
import { asString, isJsonObject, memberOf, type JsonObject } from '../../matrix/json.ts';
import { utf8Length } from '../../util/bytes.ts';
import { publicKeyOf, type KeyUsage } from '../cross-signing.ts';

/** The usages of which a server tells others. */
export type SharedUsage = Exclude<KeyUsage, 'user_signing'>;
export const sharedUsages = ['master', 'self_signing'] as const;

export interface RemoteDevice {
  readonly deviceId: string;
  readonly displayName: string | undefined;
  /** Undefined: it has none (yet). */
  readonly keys: JsonObject | undefined;
}

export interface RemoteSigningKey {
  /** Unpadded base64. */
  readonly id: string;
  readonly key: JsonObject;
}

/** All that is shown of a user's devices and cross-signing keys. */
export interface RemoteUserKeys {
  readonly devices: readonly RemoteDevice[];
  readonly signingKeys: { readonly [Usage in SharedUsage]?: RemoteSigningKey };
}

/** A whole device list as its server answered. */
export interface RemoteList extends RemoteUserKeys {
  readonly streamId: number;
}

/** Bytes of one device's keys; characters of a device's name; devices of a user. */
const maxKeys = 65_536;
const maxName = 1024;
const maxDevices = 5000;

/** A device's keys to be kept; undefined when they are another's or far too large. */
export function checkedDeviceKeys(keys: unknown, userId: UserId, deviceId: string): JsonObject | undefined {
  if (!isJsonObject(keys)) return undefined;
  // Some servers leave out whose keys these are: then they are those of who was asked for.
  if (keys.user_id !== undefined && keys.user_id !== userId) return undefined;
  if (keys.device_id !== undefined && keys.device_id !== deviceId) return undefined;
  const { unsigned: _unsigned, ...rest } = keys;
  const checked = withOwnSignatures(rest, userId);
  return utf8Length(JSON.stringify(checked)) > maxKeys ? undefined : checked;
}

/** A cross-signing key to be kept; undefined when it has the wrong shape, owner or usage. */
export function checkedSigningKey(key: unknown, userId: UserId, usage: SharedUsage): RemoteSigningKey | undefined {
  if (!isJsonObject(key) || utf8Length(JSON.stringify(key)) > maxKeys) return undefined;
  try {
    const { id } = publicKeyOf(key, userId, usage);
    return { id, key: withOwnSignatures(key, userId) };
  } catch {
    return undefined;
  }
}

export const checkedName = (name: unknown): string | undefined => asString(name)?.slice(0, maxName);

/** The answer of `/user/devices`; undefined when it is about somebody else. Devices that are not valid are left out. */
export function checkedList(userId: UserId, answer: DevicesAnswer): RemoteList | undefined {
  const streamId = answer.stream_id;
  if (answer.user_id !== userId || !Number.isSafeInteger(streamId)) return undefined;
  const devices = answer.devices.slice(0, maxDevices).flatMap((device): RemoteDevice[] => {
    const deviceId = parseDeviceId(asString(memberOf(device, 'device_id')) ?? '');
    if (deviceId === undefined) return [];
    const told = memberOf(device, 'keys') ?? undefined;
    const keys = told === undefined ? undefined : checkedDeviceKeys(told, userId, deviceId);
    if (told !== undefined && keys === undefined) return [];
    return [{ deviceId, displayName: checkedName(memberOf(device, 'device_display_name')), keys }];
  });
  return { streamId, devices, signingKeys: signingKeysOf(userId, answer.master_key, answer.self_signing_key) };
}

/** One user's part of the answer of `/user/keys/query`. */
export function checkedUserKeys(
  userId: UserId,
  devices: unknown,
  master: unknown,
  selfSigning: unknown,
): RemoteUserKeys {
  const listed = isJsonObject(devices) ? Object.entries(devices).slice(0, maxDevices) : [];
  return {
    devices: listed.flatMap(([id, told]): RemoteDevice[] => {
      const deviceId = parseDeviceId(id);
      const keys = deviceId === undefined ? undefined : checkedDeviceKeys(told, userId, deviceId);
      if (deviceId === undefined || keys === undefined) return [];
      const displayName = checkedName(memberOf(memberOf(told, 'unsigned'), 'device_display_name'));
      return [{ deviceId, displayName, keys }];
    }),
    signingKeys: signingKeysOf(userId, master, selfSigning),
  };
}

function signingKeysOf(userId: UserId, master: unknown, selfSigning: unknown): RemoteUserKeys['signingKeys'] {
  const checked = {
    master: checkedSigningKey(master, userId, 'master'),
    self_signing: checkedSigningKey(selfSigning, userId, 'self_signing'),
  };
  return {
    ...(checked.master === undefined ? {} : { master: checked.master }),
    ...(checked.self_signing === undefined ? {} : { self_signing: checked.self_signing }),
  };
}

function withOwnSignatures(object: JsonObject, userId: UserId): JsonObject {
  if (object.signatures === undefined) return object;
  const own = memberOf(object.signatures, userId);
  return { ...object, signatures: isJsonObject(own) ? { [userId]: own } : {} };
}
