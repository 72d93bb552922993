/** Statements of the sender's tables. */
import { sql } from '../../storage/index.ts';

export interface OutboxRow {
  readonly position: number;
  readonly room: number;
  readonly event: number;
  readonly brought_by: string | null;
}

export const insertOutbox = sql<[position: number, room: number, event: number, broughtBy: string | null]>(
  'INSERT INTO sender_outbox (position, room, event, brought_by) VALUES (?, ?, ?, ?)',
);
export const selectOutbox = sql<[after: number, limit: number], OutboxRow>(
  'SELECT position, room, event, brought_by FROM sender_outbox WHERE position > ? ORDER BY position LIMIT ?',
);
export const upsertOutboxRoom = sql<[room: number, position: number]>(
  `INSERT INTO sender_outbox_rooms (room, position) VALUES (?, ?)
   ON CONFLICT (room) DO UPDATE SET position = excluded.position`,
);
export const selectOutboxRoom = sql<[room: number], { position: number }>(
  'SELECT position FROM sender_outbox_rooms WHERE room = ?',
);
export const deleteOutboxRoom = sql<[room: number]>('DELETE FROM sender_outbox_rooms WHERE room = ?');
export const selectKeptFrom = sql<[kept: number], { position: number }>(
  'SELECT position FROM sender_outbox ORDER BY position DESC LIMIT 1 OFFSET ?',
);
export const deleteOutbox = sql<[upTo: number, limit: number]>(
  `DELETE FROM sender_outbox WHERE position IN
     (SELECT position FROM sender_outbox WHERE position <= ? ORDER BY position LIMIT ?)`,
);

export const insertException = sql<[server: string, position: number, event: number]>(
  'INSERT OR IGNORE INTO sender_exceptions (server, position, event) VALUES (?, ?, ?)',
);
export const selectExceptions = sql<[server: string, limit: number], { position: number; event: number }>(
  'SELECT position, event FROM sender_exceptions WHERE server = ? ORDER BY position LIMIT ?',
);
export const deleteException = sql<[server: string, position: number]>(
  'DELETE FROM sender_exceptions WHERE server = ? AND position = ?',
);

export const insertToDevice = sql<[server: string, position: number, content: string]>(
  'INSERT INTO sender_to_device (server, position, content) VALUES (?, ?, ?)',
);
export const selectToDevice = sql<[server: string, limit: number], { position: number; content: string }>(
  'SELECT position, content FROM sender_to_device WHERE server = ? ORDER BY position LIMIT ?',
);
export const deleteToDevice = sql<[server: string, upTo: number]>(
  'DELETE FROM sender_to_device WHERE server = ? AND position <= ?',
);

export const countToDevice = sql<[], { server: string; count: number }>(
  'SELECT server, count(*) AS count FROM sender_to_device GROUP BY server',
);
/** The newest `kept` messages stay. */
export const deleteOldToDevice = sql<[server: string, server: string, kept: number]>(
  `DELETE FROM sender_to_device WHERE server = ? AND position <=
     (SELECT position FROM sender_to_device WHERE server = ? ORDER BY position DESC LIMIT 1 OFFSET ?)`,
);

export interface DeviceChangeRow {
  readonly position: number;
  readonly user_id: string;
  readonly device_id: string;
}

export const upsertDeviceChange = sql<[server: string, userId: string, deviceId: string, position: number]>(
  `INSERT INTO sender_device_changes (server, user_id, device_id, position) VALUES (?, ?, ?, ?)
   ON CONFLICT (server, user_id, device_id) DO UPDATE SET position = max(position, excluded.position)`,
);
export const selectDeviceChanges = sql<[server: string, limit: number], DeviceChangeRow>(
  `SELECT position, user_id, device_id FROM sender_device_changes
   WHERE server = ? ORDER BY position, user_id, device_id LIMIT ?`,
);
export const deleteDeviceChange = sql<[server: string, userId: string, deviceId: string]>(
  'DELETE FROM sender_device_changes WHERE server = ? AND user_id = ? AND device_id = ?',
);
export const selectChain = sql<[server: string, userId: string], { stream_id: number }>(
  'SELECT stream_id FROM sender_device_chains WHERE server = ? AND user_id = ?',
);
export const upsertChain = sql<[server: string, userId: string, streamId: number]>(
  `INSERT INTO sender_device_chains (server, user_id, stream_id) VALUES (?, ?, ?)
   ON CONFLICT (server, user_id) DO UPDATE SET stream_id = excluded.stream_id`,
);

export interface DestinationRow {
  readonly server: string;
  readonly cursor: number;
  readonly txn_id: string | null;
  readonly txn_ts: number | null;
  readonly txn_events: string | null;
  readonly txn_edus: string | null;
  readonly txn_body: string | null;
}

export const selectDestination = sql<[server: string], DestinationRow>(
  `SELECT server, cursor, txn_id, txn_ts, txn_events, txn_edus, txn_body FROM sender_destinations
   WHERE server = ?`,
);
export const selectDestinations = sql<[], { server: string; cursor: number; has_txn: number }>(
  'SELECT server, cursor, txn_id IS NOT NULL AS has_txn FROM sender_destinations ORDER BY server',
);
export const upsertDestination = sql<
  [
    server: string,
    cursor: number,
    txnId: string | null,
    ts: number | null,
    events: string | null,
    edus: string | null,
    body: string | null,
  ]
>(
  `INSERT INTO sender_destinations (server, cursor, txn_id, txn_ts, txn_events, txn_edus, txn_body)
   VALUES (?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (server) DO UPDATE SET cursor = excluded.cursor, txn_id = excluded.txn_id, txn_ts = excluded.txn_ts,
     txn_events = excluded.txn_events, txn_edus = excluded.txn_edus, txn_body = excluded.txn_body`,
);
export const updateBody = sql<[body: string, server: string]>(
  'UPDATE sender_destinations SET txn_body = ? WHERE server = ?',
);
export const deleteDestination = sql<[server: string]>('DELETE FROM sender_destinations WHERE server = ?');
/** Servers for which something waits in a table of their own. */
export const selectWaiting = sql<[], { server: string }>(
  `SELECT server FROM sender_exceptions UNION SELECT server FROM sender_to_device
   UNION SELECT server FROM sender_device_changes`,
);
export const selectLowestCursor = sql<[], { cursor: number | null }>(
  'SELECT min(cursor) AS cursor FROM sender_destinations',
);

export const selectSender = sql<[], { settled: number; trimmed: number }>(
  'SELECT settled, trimmed FROM sender_progress WHERE id = 1',
);
export const updateSettled = sql<[settled: number, settled: number]>(
  'UPDATE sender_progress SET settled = ? WHERE id = 1 AND settled < ?',
);
export const updateTrimmed = sql<[trimmed: number, trimmed: number]>(
  'UPDATE sender_progress SET trimmed = ? WHERE id = 1 AND trimmed < ?',
);
