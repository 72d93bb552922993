/** Statements of the pushers' tables. */
import type { RoomNid, EventNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { sql } from '../storage/index.ts';

export interface PusherRow {
  readonly id: number;
  readonly user_id: UserId;
  readonly app_id: string;
  readonly pushkey: string;
  readonly kind: 'http' | 'email';
  readonly app_display_name: string;
  readonly device_display_name: string;
  readonly profile_tag: string | null;
  readonly lang: string;
  readonly data: string;
  readonly updated_at: number;
  readonly counts: string;
  readonly mailed_at: number;
  readonly mail_pause: number;
  readonly secret: string;
}

export interface QueueRow {
  readonly position: number;
  /** 0: only the counts have changed. */
  readonly event_nid: EventNid;
  readonly room_nid: RoomNid;
  readonly thread_id: string;
  readonly tweaks: string;
  readonly queued_at: number;
}

const pusherColumns = `id, user_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang,
  data, updated_at, counts, mailed_at, mail_pause, secret`;

export const selectPusherUsers = sql<[], { user_id: string }>('SELECT DISTINCT user_id FROM push_pushers');
export const selectPusher = sql<[id: number], PusherRow>(`SELECT ${pusherColumns} FROM push_pushers WHERE id = ?`);
export const selectPushersOf = sql<[user: string], PusherRow>(
  `SELECT ${pusherColumns} FROM push_pushers WHERE user_id = ? ORDER BY id`,
);
export const selectIdsOf = sql<[user: string], { id: number; kind: string }>(
  'SELECT id, kind FROM push_pushers WHERE user_id = ? ORDER BY id',
);
export const selectIdsOfDevice = sql<[user: string, device: string], { id: number }>(
  'SELECT id FROM push_pushers WHERE user_id = ? AND device_id = ?',
);
export const selectIdsOfOthers = sql<[appId: string, pushkey: string, user: string], { id: number }>(
  'SELECT id FROM push_pushers WHERE app_id = ? AND pushkey = ? AND user_id <> ?',
);
export const selectIdOf = sql<[user: string, appId: string, pushkey: string], { id: number }>(
  'SELECT id FROM push_pushers WHERE user_id = ? AND app_id = ? AND pushkey = ?',
);
export const upsertPusher = sql<
  [
    ...[user: string, appId: string, pushkey: string, kind: string, device: string | null],
    ...[appName: string, deviceName: string, profileTag: string | null, lang: string, data: string],
    ...[updatedAt: number, counts: string, secret: string],
  ]
>(
  `INSERT INTO push_pushers (user_id, app_id, pushkey, kind, device_id, app_display_name, device_display_name,
     profile_tag, lang, data, updated_at, counts, secret)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET kind = excluded.kind, device_id = excluded.device_id,
     app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,
     profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, updated_at = excluded.updated_at`,
);
export const deletePusher = sql<[id: number]>('DELETE FROM push_pushers WHERE id = ?');
export const updateCounts = sql<[counts: string, id: number]>('UPDATE push_pushers SET counts = ? WHERE id = ?');
export const updateMailed = sql<[at: number, pause: number, id: number]>(
  'UPDATE push_pushers SET mailed_at = ?, mail_pause = ? WHERE id = ?',
);
export const shortenMailPause = sql<[pause: number, user: string, pause: number]>(
  `UPDATE push_pushers SET mail_pause = ? WHERE user_id = ? AND kind = 'email' AND mail_pause > ?`,
);

export const insertNotification = sql<
  [pusher: number, position: number, event: number, room: number, thread: string, tweaks: string, at: number]
>(
  `INSERT INTO push_queue (pusher, position, event_nid, room_nid, thread_id, tweaks, queued_at)
   VALUES (?, ?, ?, ?, ?, ?, ?)`,
);
export const deleteCountsRows = sql<[user: string]>(
  'DELETE FROM push_queue WHERE event_nid = 0 AND pusher IN (SELECT id FROM push_pushers WHERE user_id = ?)',
);
/** Reading only lowers counts: where the gateway knows of none and nothing is under way there is nothing to tell. */
export const insertCountsRows = sql<[position: number, at: number, user: string, zero: string]>(
  `INSERT INTO push_queue (pusher, position, event_nid, room_nid, thread_id, tweaks, queued_at)
   SELECT id, ?, 0, 0, '', '{}', ? FROM push_pushers WHERE user_id = ? AND kind = 'http'
   AND (counts <> ? OR EXISTS (SELECT 1 FROM push_queue WHERE pusher = push_pushers.id))`,
);
export const selectQueue = sql<[pusher: number, limit: number], QueueRow>(
  `SELECT position, event_nid, room_nid, thread_id, tweaks, queued_at FROM push_queue WHERE pusher = ?
   ORDER BY position LIMIT ?`,
);
export const selectBusyPushers = sql<[], { pusher: number }>('SELECT DISTINCT pusher FROM push_queue');
export const deleteQueueUpTo = sql<[pusher: number, position: number]>(
  'DELETE FROM push_queue WHERE pusher = ? AND position <= ?',
);
/** All but the newest. */
export const deleteQueueBeyond = sql<[pusher: number, pusher: number, kept: number]>(
  `DELETE FROM push_queue WHERE pusher = ? AND position <
   (SELECT position FROM push_queue WHERE pusher = ? ORDER BY position DESC LIMIT 1 OFFSET ?)`,
);
export const countQueue = sql<[], { count: number }>('SELECT count(*) AS count FROM push_queue');
