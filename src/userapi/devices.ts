/**
 * Devices (C-S API v1.19 §Device Management): a device is what tokens, keys and messages belong to. When it goes, all of
 * that goes in the same transaction; other parts of the house add what they keep for devices with `onChange`.
 */
import { parseDeviceId, type UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { Deferred } from './deferred.ts';
import { newDeviceId } from './secrets.ts';
import type { Tokens } from './tokens.ts';

export interface Device {
  readonly deviceId: string;
  readonly displayName: string | undefined;
  /** ms */
  readonly lastSeenAt: number | undefined;
  readonly lastSeenIp: string | undefined;
  readonly lastSeenAgent: string | undefined;
}

/** Called inside the transaction that makes, renames or deletes a device. */
export interface DeviceListener {
  created?(tx: Tx, userId: UserId, deviceId: string): void;
  renamed?(tx: Tx, userId: UserId, deviceId: string): void;
  deleted?(tx: Tx, userId: UserId, deviceId: string): void;
}

interface Sighting {
  readonly userId: UserId;
  readonly deviceId: string;
  readonly at: number;
  readonly address: string;
  readonly userAgent: string;
}

interface DeviceRow {
  device_id: string;
  display_name: string | null;
  last_seen_at: number | null;
  last_seen_ip: string | null;
  last_seen_agent: string | null;
}

const deviceColumns = 'device_id, display_name, last_seen_at, last_seen_ip, last_seen_agent';
const selectDevices = sql<[userId: string], DeviceRow>(
  `SELECT ${deviceColumns} FROM userapi_devices
   WHERE user_id = ? AND dehydrated = 0 ORDER BY created_at, device_id`,
);
const selectDevice = sql<[userId: string, deviceId: string], DeviceRow>(
  `SELECT ${deviceColumns} FROM userapi_devices WHERE user_id = ? AND device_id = ?`,
);
const selectDeviceIds = sql<[userId: string], { device_id: string }>(
  'SELECT device_id FROM userapi_devices WHERE user_id = ? ORDER BY device_id',
);
const insertDevice = sql<
  [userId: string, deviceId: string, name: string | null, createdAt: number, dehydrated: number]
>(`INSERT INTO userapi_devices (user_id, device_id, display_name, created_at, dehydrated) VALUES (?, ?, ?, ?, ?)`);
const updateName = sql<[name: string | null, userId: string, deviceId: string]>(
  'UPDATE userapi_devices SET display_name = ? WHERE user_id = ? AND device_id = ?',
);
const updateSeen = sql<[at: number, ip: string, agent: string, userId: string, deviceId: string]>(
  'UPDATE userapi_devices SET last_seen_at = ?, last_seen_ip = ?, last_seen_agent = ? WHERE user_id = ? AND device_id = ?',
);
const deleteDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_devices WHERE user_id = ? AND device_id = ?',
);
const selectKeyWithId = sql<[userId: string, publicKey: string], { usage: string }>(
  'SELECT usage FROM userapi_cross_signing_keys WHERE user_id = ? AND public_key = ?',
);

/** How long a sighting may stay in memory, in ms. */
const sightingDelay = 30_000;
const maxDisplayName = 1024;

export class Devices {
  readonly #clock: Clock;
  readonly #tokens: Tokens;
  readonly #listeners: DeviceListener[] = [];
  readonly #sightings = new Map<string, Sighting>();
  readonly #sightingRows: Deferred;

  constructor(db: Database, clock: Clock, tokens: Tokens) {
    this.#clock = clock;
    this.#tokens = tokens;
    const write = (tx: Tx): void => {
      for (const [key, sighting] of this.#sightings) {
        const { at, address, userAgent, userId, deviceId } = sighting;
        tx.run(updateSeen, at, address, userAgent, userId, deviceId);
        tx.afterCommit(() => {
          if (this.#sightings.get(key) === sighting) this.#sightings.delete(key);
        });
      }
    };
    this.#sightingRows = new Deferred({ db, clock, name: 'userapi.last_seen', delay: sightingDelay, write });
  }

  onChange(listener: DeviceListener): void {
    this.#listeners.push(listener);
  }

  list(snapshot: Snapshot, userId: UserId): Device[] {
    return snapshot.all(selectDevices, userId).map((row) => this.#device(userId, row));
  }

  get(snapshot: Snapshot, userId: UserId, deviceId: string): Device | undefined {
    const row = snapshot.get(selectDevice, userId, deviceId);
    return row === undefined ? undefined : this.#device(userId, row);
  }

  /** All device ids of a user, a dehydrated one included: who gets a message to `*`. */
  ids(snapshot: Snapshot, userId: UserId): string[] {
    return snapshot.all(selectDeviceIds, userId).map((row) => row.device_id);
  }

  /**
   * The device that a login or registration names, made if it isn't there; earlier tokens of it end. Returns its id.
   * @throws M_INVALID_PARAM for an impossible id, M_FORBIDDEN when it is the id of a cross-signing key
   */
  open(tx: Tx, userId: UserId, wished: string | undefined, displayName: string | undefined): string {
    const deviceId = wished === undefined || wished === '' ? newDeviceId() : wished;
    if (!this.create(tx, userId, deviceId, displayName)) this.#tokens.revokeDevice(tx, userId, deviceId);
    return deviceId;
  }

  /** Makes a device; false when it is there already. @throws as `open` */
  create(tx: Tx, userId: UserId, deviceId: string, displayName?: string, dehydrated = false): boolean {
    if (parseDeviceId(deviceId) === undefined) throw matrixError.invalidParam('The device id is not valid');
    if (tx.get(selectDevice, userId, deviceId) !== undefined) return false;
    // C-S API §Cross-signing: device ids and cross-signing key ids share one namespace.
    if (tx.get(selectKeyWithId, userId, deviceId) !== undefined) {
      throw matrixError.forbidden('The device id is the id of a cross-signing key');
    }
    const name = displayName === undefined ? null : checkedName(displayName);
    tx.run(insertDevice, userId, deviceId, name, this.#clock.now(), dehydrated ? 1 : 0);
    tx.touch(`user:${userId}`);
    for (const listener of this.#listeners) listener.created?.(tx, userId, deviceId);
    return true;
  }

  /** Renames a device; false when it doesn't exist. */
  rename(tx: Tx, userId: UserId, deviceId: string, displayName: string): boolean {
    if (tx.run(updateName, checkedName(displayName), userId, deviceId).changes === 0) return false;
    tx.touch(`user:${userId}`);
    for (const listener of this.#listeners) listener.renamed?.(tx, userId, deviceId);
    return true;
  }

  /** Deletes a device with its tokens, keys and messages; false when it doesn't exist. */
  delete(tx: Tx, userId: UserId, deviceId: string): boolean {
    this.#tokens.revokeDevice(tx, userId, deviceId);
    if (tx.run(deleteDevice, userId, deviceId).changes === 0) return false;
    tx.touch(`user:${userId}`);
    for (const listener of this.#listeners) listener.deleted?.(tx, userId, deviceId);
    return true;
  }

  /**
   * Deletes all devices with a client, except perhaps one: a dehydrated one is made for when nobody is logged in. Tokens
   * with which this user acts as somebody else end too.
   */
  deleteSessions(tx: Tx, userId: UserId, except?: string): void {
    this.#tokens.revokeIssuedBy(tx, userId);
    for (const { deviceId } of this.list(tx, userId)) if (deviceId !== except) this.delete(tx, userId, deviceId);
  }

  /** Deletes all devices, and tokens without one. */
  deleteAll(tx: Tx, userId: UserId): void {
    this.#tokens.revokeIssuedBy(tx, userId);
    this.#tokens.revokeDevice(tx, userId, '');
    for (const deviceId of this.ids(tx, userId)) this.delete(tx, userId, deviceId);
  }

  /** Notes that a device made a request; written in batches. */
  saw(userId: UserId, deviceId: string, address: string, userAgent: string): void {
    const at = this.#clock.now();
    this.#sightings.set(`${userId}\n${deviceId}`, { userId, deviceId, at, address, userAgent });
    this.#sightingRows.mark();
  }

  close(): Promise<void> {
    return this.#sightingRows.close();
  }

  #device(userId: UserId, row: DeviceRow): Device {
    const sighting = this.#sightings.get(`${userId}\n${row.device_id}`);
    return {
      deviceId: row.device_id,
      displayName: row.display_name ?? undefined,
      lastSeenAt: sighting?.at ?? row.last_seen_at ?? undefined,
      lastSeenIp: sighting?.address ?? row.last_seen_ip ?? undefined,
      lastSeenAgent: sighting?.userAgent ?? row.last_seen_agent ?? undefined,
    };
  }
}

function checkedName(name: string): string {
  if (name.length > maxDisplayName) throw matrixError.invalidParam('The device name is too long');
  return name;
}
