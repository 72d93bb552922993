/** Statements of the app service tables. */
import { sql } from '../storage/index.ts';

export type QueueKind = 'event' | 'receipt' | 'to_device' | 'device_list' | 'key_counts';

export interface QueueRow {
  readonly position: number;
  readonly kind: QueueKind;
  readonly data: string;
}

export const insertQueued = sql<[service: string, position: number, kind: QueueKind, data: string]>(
  'INSERT INTO appservice_queue (appservice, position, kind, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
);
export const selectQueued = sql<[service: string, limit: number], QueueRow>(
  'SELECT position, kind, data FROM appservice_queue WHERE appservice = ? ORDER BY position, kind LIMIT ?',
);
export const deleteQueued = sql<[service: string, position: number, kind: QueueKind]>(
  'DELETE FROM appservice_queue WHERE appservice = ? AND position = ? AND kind = ?',
);
export const selectServices = sql<[], { appservice: string }>(
  'SELECT DISTINCT appservice FROM appservice_queue UNION SELECT appservice FROM appservice_outbox',
);
export const deleteQueue = sql<[service: string]>('DELETE FROM appservice_queue WHERE appservice = ?');

export const selectOutbox = sql<[service: string], { txn_id: number; body: string | null }>(
  'SELECT txn_id, body FROM appservice_outbox WHERE appservice = ?',
);
export const upsertOutbox = sql<[service: string, txnId: number, body: string | null]>(
  `INSERT INTO appservice_outbox (appservice, txn_id, body) VALUES (?, ?, ?)
   ON CONFLICT (appservice) DO UPDATE SET txn_id = excluded.txn_id, body = excluded.body`,
);

export const insertListed = sql<[service: string, network: string, room: number]>(
  'INSERT OR IGNORE INTO appservice_directory (appservice, network, room) VALUES (?, ?, ?)',
);
export const deleteListed = sql<[service: string, network: string, room: number]>(
  'DELETE FROM appservice_directory WHERE appservice = ? AND network = ? AND room = ?',
);
export const deleteListedRoom = sql<[room: number]>('DELETE FROM appservice_directory WHERE room = ?');
export const selectListed = sql<[], { appservice: string; network: string; room: number }>(
  'SELECT appservice, network, room FROM appservice_directory ORDER BY room',
);
