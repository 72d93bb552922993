/**
 * Identity keys of devices and what a query shows (C-S API v1.19 §End-to-End Encryption, Key management). Uploaded keys
 * are checked for shape and owner only: clients judge their signatures.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { isJsonObject, memberOf, type JsonObject } from '../matrix/json.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { DeviceLists } from './device-lists.ts';
import type { Devices } from './devices.ts';

const selectKeys = sql<[userId: string, deviceId: string], { keys: string }>(
  'SELECT keys FROM userapi_device_keys WHERE user_id = ? AND device_id = ?',
);
const selectAllKeys = sql<[userId: string], { device_id: string; keys: string; display_name: string | null }>(
  `SELECT k.device_id, k.keys, d.display_name FROM userapi_device_keys k
   LEFT JOIN userapi_devices d ON d.user_id = k.user_id AND d.device_id = k.device_id
   WHERE k.user_id = ? ORDER BY k.device_id`,
);
const upsertKeys = sql<[userId: string, deviceId: string, keys: string]>(
  `INSERT INTO userapi_device_keys (user_id, device_id, keys) VALUES (?, ?, ?)
   ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys`,
);
const deleteKeys = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_device_keys WHERE user_id = ? AND device_id = ?',
);
const selectSignatures = sql<
  [target: string, key: string, target: string, viewer: string],
  { signer_user_id: string; signer_key_id: string; signature: string }
>(
  `SELECT signer_user_id, signer_key_id, signature FROM userapi_signatures
   WHERE target_user_id = ? AND target_key = ? AND signer_user_id IN (?, ?)`,
);
const upsertSignature = sql<[target: string, key: string, signer: string, signerKeyId: string, signature: string]>(
  `INSERT INTO userapi_signatures (target_user_id, target_key, signer_user_id, signer_key_id, signature)
   VALUES (?, ?, ?, ?, ?)
   ON CONFLICT (target_user_id, target_key, signer_user_id, signer_key_id) DO UPDATE SET signature = excluded.signature`,
);
const deleteSignaturesOn = sql<[target: string, key: string]>(
  'DELETE FROM userapi_signatures WHERE target_user_id = ? AND target_key = ?',
);
const deleteSignaturesBy = sql<[signer: string, signerKeyId: string]>(
  'DELETE FROM userapi_signatures WHERE signer_user_id = ? AND signer_key_id = ?',
);

/** Signatures that were uploaded for a key after the key itself, of a device or a cross-signing key. */
export class Signatures {
  /**
   * `key` with the signatures that `viewer` may see added: the owner's and his own. Nobody sees whom others have
   * verified (§Cross-signing, "Key and signature security").
   */
  addTo(snapshot: Snapshot, owner: UserId, keyId: string, key: JsonObject, viewer: UserId): JsonObject {
    const signatures: Record<string, JsonObject> = {};
    for (const signer of new Set<string>([owner, viewer])) {
      const own = memberOf(key.signatures, signer);
      if (isJsonObject(own)) signatures[signer] = { ...own };
    }
    for (const row of snapshot.all(selectSignatures, owner, keyId, owner, viewer)) {
      signatures[row.signer_user_id] = { ...signatures[row.signer_user_id], [row.signer_key_id]: row.signature };
    }
    return Object.keys(signatures).length === 0 ? key : { ...key, signatures };
  }

  add(tx: Tx, owner: UserId, keyId: string, signer: UserId, signerKeyId: string, signature: string): void {
    tx.run(upsertSignature, owner, keyId, signer, signerKeyId, signature);
  }

  /** Removes the signatures on a key that is gone. */
  deleteOn(tx: Tx, owner: UserId, keyId: string): void {
    tx.run(deleteSignaturesOn, owner, keyId);
  }

  /** Removes the signatures made by a key that is gone. */
  deleteBy(tx: Tx, signer: UserId, signerKeyId: string): void {
    tx.run(deleteSignaturesBy, signer, signerKeyId);
  }
}

export class DeviceKeys {
  readonly #lists: DeviceLists;
  readonly #signatures: Signatures;

  constructor(devices: Devices, lists: DeviceLists, signatures: Signatures) {
    this.#lists = lists;
    this.#signatures = signatures;
    // A device belongs to the list from the first moment, with keys or (still) without.
    devices.onChange({
      created: (tx, userId, deviceId) => lists.touch(tx, userId, undefined, deviceId),
      renamed: (tx, userId, deviceId) => lists.touch(tx, userId, undefined, deviceId),
      deleted: (tx, userId, deviceId) => {
        signatures.deleteOn(tx, userId, deviceId);
        tx.run(deleteKeys, userId, deviceId);
        lists.touch(tx, userId, undefined, deviceId);
      },
    });
  }

  /** Stores a device's identity keys. @throws M_INVALID_PARAM when they are another's, M_BAD_JSON */
  upload(tx: Tx, userId: UserId, deviceId: string, keys: JsonObject): void {
    if (keys.user_id !== userId || keys.device_id !== deviceId) {
      throw matrixError.invalidParam('device_keys names another user or device');
    }
    if (!Array.isArray(keys.algorithms) || !isJsonObject(keys.keys)) {
      throw matrixError.badJson('device_keys needs algorithms and keys');
    }
    if (!Object.values(keys.keys).every((key) => typeof key === 'string')) {
      throw matrixError.badJson('device_keys.keys maps key ids to strings');
    }
    const { unsigned: _unsigned, ...stored } = keys;
    const text = JSON.stringify(stored);
    if (tx.get(selectKeys, userId, deviceId)?.keys === text) return;
    // Signatures made on other keys say nothing about these.
    this.#signatures.deleteOn(tx, userId, deviceId);
    tx.run(upsertKeys, userId, deviceId, text);
    this.#lists.touch(tx, userId, undefined, deviceId);
  }

  /** A device's keys as uploaded. */
  get(snapshot: Snapshot, userId: UserId, deviceId: string): JsonObject | undefined {
    const row = snapshot.get(selectKeys, userId, deviceId);
    return row === undefined ? undefined : (JSON.parse(row.keys) as JsonObject);
  }

  /** Keys of a user's devices (`only` empty: all) as `viewer` may see them, by device id. */
  query(snapshot: Snapshot, userId: UserId, only: readonly string[], viewer: UserId): Record<string, JsonObject> {
    const found: Record<string, JsonObject> = {};
    for (const row of snapshot.all(selectAllKeys, userId)) {
      if (only.length > 0 && !only.includes(row.device_id)) continue;
      const keys = JSON.parse(row.keys) as JsonObject;
      const unsigned = row.display_name === null ? {} : { device_display_name: row.display_name };
      found[row.device_id] = { ...this.#signatures.addTo(snapshot, userId, row.device_id, keys, viewer), unsigned };
    }
    return found;
  }

  /** The Ed25519 key of a device, unpadded base64. */
  fingerprint(snapshot: Snapshot, userId: UserId, deviceId: string): string | undefined {
    const key = memberOf(this.get(snapshot, userId, deviceId)?.keys, `ed25519:${deviceId}`);
    return typeof key === 'string' ? key : undefined;
  }
}
