/**
 * One-time and fallback keys (C-S API v1.19 §One-time and fallback keys): claimed in the order of their upload, each
 * exactly once; a fallback key is given out when none is left and told to its device as used.
 */
import type { Bus } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { parseKeyId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../matrix/json.ts';
import { signedText } from '../matrix/signing.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Devices } from './devices.ts';

const selectKey = sql<[userId: string, deviceId: string, algorithm: string, keyId: string], { key: string }>(
  'SELECT key FROM userapi_one_time_keys WHERE user_id = ? AND device_id = ? AND algorithm = ? AND key_id = ?',
);
const insertKey = sql<[userId: string, deviceId: string, algorithm: string, keyId: string, key: string]>(
  'INSERT INTO userapi_one_time_keys (user_id, device_id, algorithm, key_id, key) VALUES (?, ?, ?, ?, ?)',
);
const selectFirst = sql<
  [userId: string, deviceId: string, algorithm: string],
  { id: number; key_id: string; key: string }
>(
  `SELECT id, key_id, key FROM userapi_one_time_keys
   WHERE user_id = ? AND device_id = ? AND algorithm = ? AND claimed_at IS NULL ORDER BY id LIMIT 1`,
);
const updateClaimed = sql<[now: number, id: number]>('UPDATE userapi_one_time_keys SET claimed_at = ? WHERE id = ?');
const deleteOldClaimed = sql<[userId: string, deviceId: string, before: number]>(
  'DELETE FROM userapi_one_time_keys WHERE user_id = ? AND device_id = ? AND claimed_at < ?',
);
const selectCounts = sql<[userId: string, deviceId: string], { algorithm: string; count: number }>(
  `SELECT algorithm, count(*) AS count FROM userapi_one_time_keys
   WHERE user_id = ? AND device_id = ? AND claimed_at IS NULL GROUP BY algorithm`,
);
const selectFallback = sql<
  [userId: string, deviceId: string, algorithm: string],
  { key_id: string; key: string; used: number }
>('SELECT key_id, key, used FROM userapi_fallback_keys WHERE user_id = ? AND device_id = ? AND algorithm = ?');
const upsertFallback = sql<[userId: string, deviceId: string, algorithm: string, keyId: string, key: string]>(
  `INSERT INTO userapi_fallback_keys (user_id, device_id, algorithm, key_id, key) VALUES (?, ?, ?, ?, ?)
   ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = 0`,
);
const updateUsed = sql<[userId: string, deviceId: string, algorithm: string]>(
  'UPDATE userapi_fallback_keys SET used = 1 WHERE user_id = ? AND device_id = ? AND algorithm = ?',
);
const selectUnused = sql<[userId: string, deviceId: string], { algorithm: string }>(
  `SELECT algorithm FROM userapi_fallback_keys WHERE user_id = ? AND device_id = ? AND used = 0 ORDER BY algorithm`,
);
/** Count 0: the fallback key of the algorithm. */
const selectInventory = sql<
  [userId: string, deviceId: string, userId: string, deviceId: string],
  { algorithm: string; count: number }
>(
  `SELECT algorithm, count(*) AS count FROM userapi_one_time_keys
   WHERE user_id = ? AND device_id = ? AND claimed_at IS NULL GROUP BY algorithm
   UNION ALL SELECT algorithm, 0 FROM userapi_fallback_keys WHERE user_id = ? AND device_id = ? AND used = 0`,
);
const deleteKeys = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_one_time_keys WHERE user_id = ? AND device_id = ?',
);
const deleteFallbacks = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_fallback_keys WHERE user_id = ? AND device_id = ?',
);

/** How long a claimed key's id is remembered, so that a repeated upload doesn't bring the key back, in ms. */
const claimedKept = 14 * 86_400_000;

/** What a device has left to give out. */
export interface KeyInventory {
  /** Unclaimed one-time keys by algorithm. */
  readonly counts: Readonly<Record<string, number>>;
  /** Algorithms with a fallback key that was not given out. */
  readonly unusedFallbacks: readonly string[];
}

export class OneTimeKeys {
  readonly #bus: Bus;
  readonly #clock: Clock;

  constructor(bus: Bus, clock: Clock, devices: Devices) {
    this.#bus = bus;
    this.#clock = clock;
    devices.onChange({
      deleted: (tx, userId, deviceId) => {
        tx.run(deleteKeys, userId, deviceId);
        tx.run(deleteFallbacks, userId, deviceId);
      },
    });
  }

  /**
   * Adds one-time keys, `algorithm:id` to key. A key that is there already, or was claimed, is passed over.
   * @throws M_INVALID_PARAM when an id comes again with another key, M_BAD_JSON
   */
  add(tx: Tx, userId: UserId, deviceId: string, keys: JsonObject): void {
    tx.run(deleteOldClaimed, userId, deviceId, this.#clock.now() - claimedKept);
    for (const [name, key] of Object.entries(keys)) {
      const { algorithm, version } = keyName(name);
      const stored = tx.get(selectKey, userId, deviceId, algorithm, version);
      if (stored === undefined) tx.run(insertKey, userId, deviceId, algorithm, version, keyText(name, key));
      else if (!isSameKey(JSON.parse(stored.key) as JsonValue, key)) {
        throw matrixError.invalidParam(`One-time key ${name} is there already, with another value`);
      }
    }
    tx.touch(`user:${userId}`);
  }

  /** Replaces the fallback key of each algorithm named. @throws M_BAD_JSON */
  setFallback(tx: Tx, userId: UserId, deviceId: string, keys: JsonObject): void {
    for (const [name, key] of Object.entries(keys)) {
      const { algorithm, version } = keyName(name);
      const text = keyText(name, key);
      const stored = tx.get(selectFallback, userId, deviceId, algorithm);
      // A repeated upload doesn't make a used key unused.
      if (stored?.key_id === version && stored.key === text) continue;
      tx.run(upsertFallback, userId, deviceId, algorithm, version, text);
    }
    tx.touch(`user:${userId}`);
  }

  /** Takes one key of a device: `{"algorithm:id": key}`, or undefined when there is none, not even a fallback key. */
  claim(tx: Tx, userId: UserId, deviceId: string, algorithm: string): JsonObject | undefined {
    const first = tx.get(selectFirst, userId, deviceId, algorithm);
    if (first !== undefined) {
      tx.run(updateClaimed, this.#clock.now(), first.id);
      this.#tell(tx, userId, deviceId);
      return { [`${algorithm}:${first.key_id}`]: JSON.parse(first.key) as JsonValue };
    }
    const fallback = tx.get(selectFallback, userId, deviceId, algorithm);
    if (fallback === undefined) return undefined;
    if (fallback.used === 0) {
      tx.run(updateUsed, userId, deviceId, algorithm);
      this.#tell(tx, userId, deviceId);
    }
    return { [`${algorithm}:${fallback.key_id}`]: JSON.parse(fallback.key) as JsonValue };
  }

  /** Unclaimed keys by algorithm; `signed_curve25519` is always there, since clients wait for its zero. */
  counts(snapshot: Snapshot, userId: UserId, deviceId: string): Record<string, number> {
    const rows = snapshot.all(selectCounts, userId, deviceId);
    return { signed_curve25519: 0, ...Object.fromEntries(rows.map(({ algorithm, count }) => [algorithm, count])) };
  }

  /** Algorithms whose fallback key was not given out yet. */
  unusedFallbacks(snapshot: Snapshot, userId: UserId, deviceId: string): string[] {
    return snapshot.all(selectUnused, userId, deviceId).map((row) => row.algorithm);
  }

  /** Both, in one look. */
  inventory(snapshot: Snapshot, userId: UserId, deviceId: string): KeyInventory {
    const counts = new Map([['signed_curve25519', 0]]);
    const unusedFallbacks: string[] = [];
    for (const { algorithm, count } of snapshot.all(selectInventory, userId, deviceId, userId, deviceId)) {
      if (count === 0) unusedFallbacks.push(algorithm);
      else counts.set(algorithm, count);
    }
    return { counts: Object.fromEntries(counts), unusedFallbacks: unusedFallbacks.sort() };
  }

  #tell(tx: Tx, userId: UserId, deviceId: string): void {
    this.#bus.append(tx, { topic: 'device.key_counts', user: userId, deviceId });
  }
}

function keyName(name: string): { algorithm: string; version: string } {
  const parsed = parseKeyId(name);
  if (parsed === undefined) throw matrixError.badJson(`${name} is no name of a key`);
  return parsed;
}

function keyText(name: string, key: JsonValue | undefined): string {
  const valid = typeof key === 'string' || (isJsonObject(key) && typeof key.key === 'string');
  if (!valid) throw matrixError.badJson(`${name} holds no key`);
  return JSON.stringify(key);
}

/** The same but for signatures: signing again gives other ones. */
function isSameKey(one: JsonValue, other: JsonValue | undefined): boolean {
  if (!isJsonObject(one) || !isJsonObject(other)) return one === other;
  return signedText(one, { lenient: true }) === signedText(other, { lenient: true });
}
