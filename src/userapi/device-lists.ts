/**
 * Device lists (C-S API v1.19 §Tracking the device list for a user): when whose keys changed. Who is told of it, and who
 * began or ended to share a room, is worked out by /sync and /keys/changes (INVARIANTS 19).
 */
import type { Bus } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { sql, type Position, type Snapshot, type Tx } from '../storage/index.ts';

const insertChange = sql<[position: number, userId: string, viewer: string | null]>(
  'INSERT INTO userapi_device_list_changes (position, user_id, viewer) VALUES (?, ?, ?)',
);
/** Who asks what changed since then is told by the newest change alone. */
const deleteOlder = sql<[userId: string, position: number, viewer: string | null]>(
  'DELETE FROM userapi_device_list_changes WHERE user_id = ? AND position < ? AND viewer IS ?',
);
const selectChanged = sql<[since: number, upTo: number, viewer: string], { user_id: UserId }>(
  `SELECT DISTINCT user_id FROM userapi_device_list_changes
   WHERE position > ? AND position <= ? AND (viewer IS NULL OR viewer = ?)`,
);
const selectStream = sql<[userId: string], { stream: number | null }>(
  'SELECT max(position) AS stream FROM userapi_device_list_changes WHERE user_id = ? AND viewer IS NULL',
);

export class DeviceLists {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /**
   * Records that a user's devices, device names, their keys or cross-signing keys changed.
   * @param viewer the only user who sees the change (he signed the other's key); the log entry then names him
   * @param deviceId the device; empty: the cross-signing keys
   */
  touch(tx: Tx, userId: UserId, viewer?: UserId, deviceId = ''): void {
    const position = tx.nextPosition();
    tx.run(deleteOlder, userId, position, viewer ?? null);
    tx.run(insertChange, position, userId, viewer ?? null);
    const entry = viewer === undefined ? { user: userId, changed: deviceId } : { user: viewer };
    this.#bus.append(tx, { topic: 'user.device_list', ...entry }, position);
  }

  /** Users whose keys changed in (since, upTo] as `viewer` sees them, whether or not he shares a room with them. */
  changedUsers(snapshot: Snapshot, since: Position, upTo: Position, viewer: UserId): UserId[] {
    return snapshot.all(selectChanged, since, upTo, viewer).map((row) => row.user_id);
  }

  /** The version of a user's list that other servers know by `stream_id`: the Position of its last change, or 0. */
  streamId(snapshot: Snapshot, userId: UserId): number {
    return snapshot.get(selectStream, userId)?.stream ?? 0;
  }
}
