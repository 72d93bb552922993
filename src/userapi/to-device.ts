/**
 * Messages to devices (C-S API v1.19 §Send-to-Device messaging, INVARIANTS 15): a queue per device in order of Positions.
 * A row goes when the client's next `since` shows that it was received.
 */
import type { Bus } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import { sql, type Database, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';
import type { Devices } from './devices.ts';

export interface WaitingMessage {
  readonly position: Position;
  /** JSON text of `{sender, type, content}`. */
  readonly message: string;
}

const insertMessage = sql<[userId: string, deviceId: string, position: number, message: string]>(
  'INSERT INTO userapi_to_device (user_id, device_id, position, message) VALUES (?, ?, ?, ?)',
);
const selectMessages = sql<
  [userId: string, deviceId: string, since: number, upTo: number, limit: number],
  { position: Position; message: string }
>(
  `SELECT position, message FROM userapi_to_device
   WHERE user_id = ? AND device_id = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?`,
);
const selectBehind = sql<[userId: string, deviceId: string, last: number], { position: number }>(
  'SELECT position FROM userapi_to_device WHERE user_id = ? AND device_id = ? AND position > ? ORDER BY position',
);
const updatePosition = sql<[fresh: number, userId: string, deviceId: string, position: number]>(
  'UPDATE userapi_to_device SET position = ? WHERE user_id = ? AND device_id = ? AND position = ?',
);
const selectOldest = sql<[userId: string, deviceId: string], { position: number }>(
  'SELECT position FROM userapi_to_device WHERE user_id = ? AND device_id = ? ORDER BY position LIMIT 1',
);
const deleteReceived = sql<[userId: string, deviceId: string, since: number]>(
  'DELETE FROM userapi_to_device WHERE user_id = ? AND device_id = ? AND position <= ?',
);
const deleteOne = sql<[userId: string, deviceId: string, position: number]>(
  'DELETE FROM userapi_to_device WHERE user_id = ? AND device_id = ? AND position = ?',
);
const deleteOfDevice = sql<[userId: string, deviceId: string]>(
  'DELETE FROM userapi_to_device WHERE user_id = ? AND device_id = ?',
);

export class ToDevice {
  readonly #db: Database;
  readonly #bus: Bus;
  readonly #devices: Devices;
  /** Devices without a message: nearly every sync asks in vain whether one can go. */
  readonly #empty = new LruCache<string, true>({ max: 20_000 });

  constructor(db: Database, bus: Bus, devices: Devices) {
    this.#db = db;
    this.#bus = bus;
    this.#devices = devices;
    devices.onChange({ deleted: (tx, userId, deviceId) => void tx.run(deleteOfDevice, userId, deviceId) });
  }

  /**
   * Queues a message for a local user's device, or for all of them (`*`). Unknown devices get nothing.
   */
  send(tx: Tx, sender: UserId, type: string, userId: UserId, deviceId: string, content: JsonObject): void {
    const known = this.#devices.ids(tx, userId);
    const message = JSON.stringify({ content, sender, type });
    for (const target of deviceId === '*' ? known : known.filter((id) => id === deviceId)) {
      const position = tx.nextPosition();
      this.#empty.delete(`${userId} ${target}`);
      tx.run(insertMessage, userId, target, position, message);
      this.#bus.append(tx, { topic: 'device.to_device', user: userId, deviceId: target }, position);
    }
  }

  /** Queues one message per device: user id to device id to content. */
  sendAll(
    tx: Tx,
    sender: UserId,
    type: string,
    messages: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>,
  ): void {
    for (const [userId, devices] of Object.entries(messages)) {
      for (const [deviceId, content] of Object.entries(devices)) {
        this.send(tx, sender, type, userId as UserId, deviceId, content);
      }
    }
  }

  /** The oldest messages that wait in (since, upTo], at most `limit`. */
  waiting(
    snapshot: Snapshot,
    userId: UserId,
    deviceId: string,
    since: Position,
    upTo: Position,
    limit: number,
  ): WaitingMessage[] {
    return snapshot.all(selectMessages, userId, deviceId, since, upTo, limit);
  }

  /** Takes one message out of the queue: it goes to its device by other ways. */
  take(tx: Tx, userId: UserId, deviceId: string, position: Position): void {
    tx.run(deleteOne, userId, deviceId, position);
  }

  /** Moves all rows behind `last` to fresh Positions, in order, so that a `next_batch` below them leaves them waiting. */
  async defer(userId: UserId, deviceId: string, last: Position): Promise<void> {
    await this.#db.write((tx) => {
      for (const { position } of tx.all(selectBehind, userId, deviceId, last)) {
        const fresh = tx.nextPosition();
        tx.run(updatePosition, fresh, userId, deviceId, position);
        this.#bus.append(tx, { topic: 'device.to_device', user: userId, deviceId }, fresh);
      }
    });
  }

  /** The client has everything up to `since`, a valid token at or below the head: those rows go. */
  async acknowledge(userId: UserId, deviceId: string, since: Position): Promise<void> {
    const device = `${userId} ${deviceId}`;
    if (this.#empty.has(device)) return;
    const oldest = this.#db.read((snapshot) => snapshot.get(selectOldest, userId, deviceId));
    if (oldest === undefined) this.#empty.set(device, true);
    if (oldest === undefined || oldest.position > since) return;
    await this.#db.write((tx) => void tx.run(deleteReceived, userId, deviceId, since));
  }
}
