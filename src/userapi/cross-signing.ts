/**
 * Cross-signing keys and signatures (C-S API v1.19 §Cross-signing): master, self-signing and user-signing key of a user.
 * What is uploaded here is verified, for others act on it.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError, type MatrixError } from '../matrix/errors.ts';
import { isJsonObject, memberOf, type JsonObject } from '../matrix/json.ts';
import { signedBy, signedText, verifyJson } from '../matrix/signing.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import { decodeBase64 } from '../util/bytes.ts';
import type { DeviceLists } from './device-lists.ts';
import type { Devices } from './devices.ts';
import type { DeviceKeys, Signatures } from './keys.ts';

export type KeyUsage = 'master' | 'self_signing' | 'user_signing';
export const keyUsages = ['master', 'self_signing', 'user_signing'] as const;

/** The keys of one upload, absent ones unchanged. */
export type KeyUpload = { readonly [Usage in KeyUsage]?: JsonObject | undefined };

export interface PublicKey {
  /** Unpadded base64. */
  readonly id: string;
  readonly key: JsonObject;
}

const selectKey = sql<[userId: string, usage: KeyUsage], { public_key: string; key: string }>(
  'SELECT public_key, key FROM userapi_cross_signing_keys WHERE user_id = ? AND usage = ?',
);
const upsertKey = sql<[userId: string, usage: KeyUsage, publicKey: string, key: string]>(
  `INSERT INTO userapi_cross_signing_keys (user_id, usage, public_key, key) VALUES (?, ?, ?, ?)
   ON CONFLICT (user_id, usage) DO UPDATE SET public_key = excluded.public_key, key = excluded.key`,
);
const deleteKey = sql<[userId: string, usage: KeyUsage]>(
  'DELETE FROM userapi_cross_signing_keys WHERE user_id = ? AND usage = ?',
);

const invalidSignature = (message: string): MatrixError => matrixError.invalidSignature(message);

/** True when two signed objects say the same, whatever their signatures. */
const saysTheSame = (one: JsonObject, other: JsonObject): boolean =>
  signedText(one, { lenient: true }) === signedText(other, { lenient: true });

export class CrossSigning {
  readonly #devices: Devices;
  readonly #deviceKeys: DeviceKeys;
  readonly #signatures: Signatures;
  readonly #lists: DeviceLists;
  readonly #remoteMaster: (snapshot: Snapshot, userId: UserId) => PublicKey | undefined;

  constructor(parts: {
    readonly devices: Devices;
    readonly deviceKeys: DeviceKeys;
    readonly signatures: Signatures;
    readonly lists: DeviceLists;
    /** The master key of a user of another server, as far as it is known. */
    readonly remoteMaster: (snapshot: Snapshot, userId: UserId) => PublicKey | undefined;
  }) {
    this.#remoteMaster = parts.remoteMaster;
    this.#devices = parts.devices;
    this.#deviceKeys = parts.deviceKeys;
    this.#signatures = parts.signatures;
    this.#lists = parts.lists;
  }

  /** A key as `viewer` may see it; the user-signing key is its owner's own business. */
  get(snapshot: Snapshot, userId: UserId, usage: KeyUsage, viewer: UserId): JsonObject | undefined {
    if (usage === 'user_signing' && viewer !== userId) return undefined;
    const found = this.#find(snapshot, userId, usage);
    return found && this.#signatures.addTo(snapshot, userId, found.id, found.key, viewer);
  }

  /**
   * Whether an upload replaces something, so that the user must authenticate: not the first one, nor a repetition
   * (§POST /keys/device_signing/upload).
   */
  needsAuthentication(snapshot: Snapshot, userId: UserId, upload: KeyUpload): boolean {
    if (this.#find(snapshot, userId, 'master') === undefined) return false;
    const given = keyUsages.filter((usage) => upload[usage] !== undefined);
    const repeats = given.every((usage) => {
      const stored = this.#find(snapshot, userId, usage);
      const key = upload[usage];
      return stored !== undefined && key !== undefined && saysTheSame(stored.key, key);
    });
    return !(repeats && upload.master !== undefined);
  }

  /**
   * Verifies and stores keys.
   * @throws M_INVALID_PARAM, M_MISSING_PARAM without a master key, M_INVALID_SIGNATURE, M_FORBIDDEN when a key's id is
   * that of a device
   */
  upload(tx: Tx, userId: UserId, upload: KeyUpload): void {
    const oldMaster = this.#find(tx, userId, 'master');
    const master = upload.master === undefined ? oldMaster : publicKeyOf(upload.master, userId, 'master');
    if (master === undefined) throw matrixError.missingParam('There is no master key');
    const changes = keyUsages.flatMap((usage) => {
      const key = upload[usage];
      return key === undefined ? [] : [{ usage, ...publicKeyOf(key, userId, usage) }];
    });
    for (const { usage, id, key } of changes) {
      if (this.#devices.get(tx, userId, id) !== undefined) throw matrixError.forbidden('Key ID in use');
      if (usage === 'master') this.#checkMaster(tx, userId, key);
      else if (!isSignedBy(key, userId, master.id)) {
        throw invalidSignature(`The ${usage} key is not signed by the master key`);
      }
    }
    if (oldMaster !== undefined && oldMaster.id !== master.id) this.#forget(tx, userId);
    for (const { usage, id, key } of changes) {
      const before = this.#find(tx, userId, usage);
      if (before !== undefined && before.id !== id) this.#forgetKey(tx, userId, usage, before.id);
      tx.run(upsertKey, userId, usage, id, JSON.stringify(key));
    }
    // Only its owner is ever shown a user-signing key.
    const isPrivate = changes.every(({ usage }) => usage === 'user_signing');
    if (changes.length > 0) this.#lists.touch(tx, userId, isPrivate ? userId : undefined);
  }

  /** Stores one uploaded signature: on an own device, the own master key or another's. Returns why not. */
  addSignature(tx: Tx, signer: UserId, owner: UserId, keyId: string, signed: JsonObject): MatrixError | undefined {
    const device = owner === signer ? this.#deviceKeys.get(tx, owner, keyId) : undefined;
    const master = this.#find(tx, owner, 'master') ?? this.#remoteMaster(tx, owner);
    const target = device ?? (master?.id === keyId ? master.key : undefined);
    if (target === undefined) return matrixError.notFound('There is no such key');
    if (!saysTheSame(target, signed)) return matrixError.invalidParam('This is not the key as it was uploaded');
    const entries = signedBy(signed, signer);
    if (entries.length === 0) return invalidSignature('There is no signature of yours');
    let added = false;
    for (const { keyId: signerKeyId, signature } of entries) {
      if (memberOf(memberOf(target.signatures, signer), signerKeyId) === signature) continue;
      const publicKey = this.#signingKey(tx, signer, owner, device !== undefined, signerKeyId);
      const bytes = publicKey === undefined ? undefined : decodeBase64(publicKey);
      if (bytes === undefined || !verifyJson(signed, signer, signerKeyId, bytes, { lenient: true })) {
        return invalidSignature('The signature is not valid');
      }
      this.#signatures.add(tx, owner, keyId, signer, signerKeyId, signature);
      added = true;
    }
    // Whom a user has verified is told to his own devices only.
    const deviceId = device === undefined ? '' : keyId;
    if (added) this.#lists.touch(tx, owner, owner === signer ? undefined : signer, deviceId);
    return undefined;
  }

  /** The public key that may sign: self-signing for own devices, devices for the own master, user-signing for others'. */
  #signingKey(tx: Tx, signer: UserId, owner: UserId, isDevice: boolean, keyId: string): string | undefined {
    const name = keyId.slice('ed25519:'.length);
    if (owner === signer && !isDevice) return this.#deviceKeys.fingerprint(tx, signer, name);
    const key = this.#find(tx, signer, owner === signer ? 'self_signing' : 'user_signing');
    return key?.id === name ? name : undefined;
  }

  /** A device that has signed the new master key must have done so validly. */
  #checkMaster(tx: Tx, userId: UserId, key: JsonObject): void {
    for (const { keyId } of signedBy(key, userId)) {
      const fingerprint = this.#deviceKeys.fingerprint(tx, userId, keyId.slice('ed25519:'.length));
      const bytes = fingerprint === undefined ? undefined : decodeBase64(fingerprint);
      if (bytes !== undefined && !verifyJson(key, userId, keyId, bytes, { lenient: true })) {
        throw invalidSignature('The signature of a device on the master key is not valid');
      }
    }
  }

  /** A new master key ends what the old one stood for. */
  #forget(tx: Tx, userId: UserId): void {
    for (const usage of keyUsages) {
      const key = this.#find(tx, userId, usage);
      if (key === undefined) continue;
      this.#forgetKey(tx, userId, usage, key.id);
      tx.run(deleteKey, userId, usage);
    }
  }

  #forgetKey(tx: Tx, userId: UserId, usage: KeyUsage, id: string): void {
    if (usage === 'master') this.#signatures.deleteOn(tx, userId, id);
    else this.#signatures.deleteBy(tx, userId, `ed25519:${id}`);
  }

  #find(snapshot: Snapshot, userId: UserId, usage: KeyUsage): PublicKey | undefined {
    const row = snapshot.get(selectKey, userId, usage);
    return row === undefined ? undefined : { id: row.public_key, key: JSON.parse(row.key) as JsonObject };
  }
}

const isSignedBy = (key: JsonObject, userId: UserId, publicKey: string): boolean => {
  const bytes = decodeBase64(publicKey);
  return bytes !== undefined && verifyJson(key, userId, `ed25519:${publicKey}`, bytes, { lenient: true });
};

/** The one public key of a cross-signing key object. @throws M_INVALID_PARAM */
export function publicKeyOf(key: JsonObject, userId: UserId, usage: KeyUsage): PublicKey {
  const fault = (message: string): MatrixError => matrixError.invalidParam(`The ${usage} key ${message}`);
  if (key.user_id !== userId) throw fault('names another user');
  if (!Array.isArray(key.usage) || !key.usage.includes(usage)) throw fault('does not say its usage');
  const keys = isJsonObject(key.keys) ? Object.entries(key.keys) : [];
  const [name, value] = keys[0] ?? [];
  if (keys.length !== 1 || typeof value !== 'string') throw fault('must hold exactly one public key');
  if (name !== `ed25519:${value}` || decodeBase64(value)?.length !== 32) throw fault('is no Ed25519 public key');
  return { id: value, key };
}
