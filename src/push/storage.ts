/** Statements of the push tables. Outcomes are bits: 1 notify, 2 highlight, 4 a call that rings. */
import { sql } from '../storage/index.ts';

export const notifyBit = 1;
export const highlightBit = 2;
export const callBit = 4;

export interface ActionRow {
  readonly position: number;
  readonly thread_id: string;
  readonly everyone: number;
  readonly sender: string;
  readonly named: string | null;
}

/** The outcome of an event for a user. */
export function outcomeFor(row: { readonly everyone: number; readonly named: string | null }, user: string): number {
  if (row.named === null) return row.everyone;
  const named = JSON.parse(row.named) as Record<string, number>;
  return named[user] ?? row.everyone;
}

export const selectActionsAfter = sql<[room: number, after: number, upTo: number], ActionRow>(
  `SELECT position, thread_id, everyone, sender, named FROM push_actions
   WHERE room_nid = ? AND position > ? AND position <= ?`,
);
export const insertAction = sql<
  [room: number, position: number, thread: string, everyone: number, sender: string, named: string | null]
>('INSERT INTO push_actions (room_nid, position, thread_id, everyone, sender, named) VALUES (?, ?, ?, ?, ?, ?)');
export const deleteAction = sql<[room: number, position: number]>(
  'DELETE FROM push_actions WHERE room_nid = ? AND position = ?',
);
export const deleteActionsUpTo = sql<[room: number, position: number]>(
  'DELETE FROM push_actions WHERE room_nid = ? AND position <= ?',
);
export const deleteOwnEvents = sql<[room: number]>('DELETE FROM push_own_events WHERE room_nid = ?');
export const selectOwnEvents = sql<[user: string, room: number], { thread_id: string; position: number }>(
  'SELECT thread_id, position FROM push_own_events WHERE user_id = ? AND room_nid = ?',
);
export const upsertOwnEvent = sql<[user: string, room: number, thread: string, position: number]>(
  `INSERT INTO push_own_events (user_id, room_nid, thread_id, position) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET position = excluded.position`,
);
export const selectRuleset = sql<[user: string], { rules: string; position: number }>(
  'SELECT rules, position FROM push_rulesets WHERE user_id = ?',
);
export const upsertRuleset = sql<[user: string, rules: string, position: number]>(
  `INSERT INTO push_rulesets (user_id, rules, position) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET rules = excluded.rules, position = excluded.position`,
);
export const selectUsersWithRules = sql<[], { user_id: string }>('SELECT user_id FROM push_rulesets');
/** The newest first, before a Position. */
export const selectActionsBefore = sql<[room: number, before: number, limit: number], ActionRow>(
  `SELECT position, thread_id, everyone, sender, named FROM push_actions WHERE room_nid = ? AND position < ?
   ORDER BY position DESC LIMIT ?`,
);
