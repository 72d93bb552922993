/**
 * Members who change by the ten thousand (the end of a resync, a join in full), as a few statements over all of them:
 * their rows come from the rows of their events, counts are taken anew. Lists go in as JSON, as one parameter.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { sql, type Tx } from '../../storage/index.ts';
import type { EventNid, RoomNid, StateKeyNid } from '../types.ts';
import { membershipCode } from './event-rows.ts';
import type { MemberChange } from './membership.ts';

/** The server name of a user id stands behind its first colon. */
const serverOfKey = "substr(k.key, instr(k.key, ':') + 1)";
const insertMembers = sql<[room: number, server: string, events: string]>(
  `INSERT INTO room_members (user, room, membership, local, event)
   SELECT e.state_key, ?, e.membership, ${serverOfKey} = ?, e.nid
   FROM json_each(?) j CROSS JOIN room_events e ON e.nid = j.value CROSS JOIN room_keys k ON k.nid = e.state_key
   WHERE e.membership > 0
   ON CONFLICT DO UPDATE SET membership = excluded.membership, event = excluded.event`,
);
const selectWithoutMembership = sql<[events: string], { user: number; event: number }>(
  `SELECT e.state_key AS user, e.nid AS event FROM json_each(?) j CROSS JOIN room_events e ON e.nid = j.value WHERE e.membership = 0`,
);
const selectLocal = sql<[room: number], { user: number; membership: number; event: number }>(
  `SELECT user, membership, event FROM room_members
   WHERE room = ? AND membership IN (1, 2, 3, 4, 5) AND local = 1`,
);
const selectServers = sql<[room: number, join: number], { server: string; joined: number }>(
  `SELECT ${serverOfKey} AS server, count(*) AS joined FROM room_members m CROSS JOIN room_keys k ON k.nid = m.user
   WHERE m.room = ? AND m.membership = ? GROUP BY 1`,
);
const countMembers = sql<[room: number, membership: number], { count: number }>(
  'SELECT count(*) AS count FROM room_members WHERE room = ? AND membership = ?',
);

/** Sets members by their events; returns those whose event has no proper membership: they are to be removed. */
export function setMembers(tx: Tx, room: RoomNid, serverName: ServerName, events: readonly EventNid[]): MemberChange[] {
  const list = JSON.stringify(events);
  const { changes } = tx.run(insertMembers, room, serverName, list);
  if (changes === events.length) return [];
  return tx.all(selectWithoutMembership, list).map(({ user, event }) => ({
    user: user as StateKeyNid,
    membership: 0,
    event: event as EventNid,
  }));
}

/** The members who are users of this server. */
export const localMembers = (tx: Tx, room: RoomNid): MemberChange[] =>
  tx.all(selectLocal, room).map(({ user, membership, event }) => ({
    user: user as StateKeyNid,
    membership,
    event: event as EventNid,
  }));

/** Joined members by server, as the rows of members have it. */
export const countByServer = (tx: Tx, room: RoomNid): Map<string, number> =>
  new Map(tx.all(selectServers, room, membershipCode('join')).map(({ server, joined }) => [server, joined]));

export const countJoinedAndInvited = (tx: Tx, room: RoomNid): { readonly joined: number; readonly invited: number } => {
  const of = (membership: string): number => tx.get(countMembers, room, membershipCode(membership))?.count ?? 0;
  return { joined: of('join'), invited: of('invite') };
};
