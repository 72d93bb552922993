/**
 * Verification of what hangs on a room's current state and on its events: expanded state, history, members and counts,
 * local users' transitions, relations, redaction marks.
 */
import { type UserId, serverNameOf } from '../../matrix/ids.ts';
import { toRoomEvent } from '../../matrix/pdu.ts';
import { joinFromStorage } from '../../matrix/stored-event.ts';
import { sql } from '../../storage/index.ts';
import { relationOf } from '../input/annotate.ts';
import { entriesOf } from '../state/snapshots.ts';
import { originalOf, redactionsOf } from '../storage/annotations.ts';
import { type EventMeta, membershipCode } from '../storage/event-rows.ts';
import { type StoredId, eventIdFrom, types } from '../storage/nids.ts';
import type { EventNid, SnapshotNid, StateKeyNid } from '../types.ts';
import { type Verification, compareMaps } from './report.ts';

const selectHistory = sql<[room: number], { position: number; snapshot: number }>(
  'SELECT position, snapshot FROM room_state_history WHERE room = ? ORDER BY position',
);
const selectMembers = sql<[room: number], { user: number; membership: number; local: number; event: number }>(
  'SELECT user, membership, local, event FROM room_members WHERE room = ?',
);
const selectLocalRows = sql<[room: number], LocalRow>(
  `SELECT user, position, membership, event, out_of_band FROM room_local_membership WHERE room = ? ORDER BY position`,
);
const selectRelations = sql<[], { parent: StoredId; rel_type: string; child: number }>(
  'SELECT parent, rel_type, child FROM room_relations',
);

interface LocalRow {
  readonly user: number;
  readonly position: number;
  readonly membership: number;
  readonly event: number;
  readonly out_of_band: number;
}

const join = membershipCode('join');
const invite = membershipCode('invite');
const knock = membershipCode('knock');
const leave = membershipCode('leave');

export function verifyProjections(verification: Verification): void {
  verifyCurrentState(verification);
  verifyMembers(verification);
  verifyLocalMembership(verification);
  verifyAnnotations(verification);
}

function verifyCurrentState({ stores, snapshot, room, events, differs }: Verification): void {
  const head = stores.rooms.head(snapshot, room.nid);
  const rows = stores.rooms
    .state(snapshot, room.nid)
    .map((row) => [`${row.type} ${row.state_key}`, row.event] as const);
  const entries = entriesOf(stores.states.entries(snapshot, head.snapshot));
  const expected = new Map(entries.map(({ type, key, event }) => [`${type} ${key}`, event]));
  compareMaps(differs, 'row of the current state at', new Map(rows), expected);
  const history = snapshot.all(selectHistory, room.nid);
  const last = history.at(-1);
  if ((last?.snapshot ?? 0) !== head.snapshot) differs('the newest row of its history is not its current state');
  const slots = [...events.values()].flatMap(({ place }) => (place?.live === 1 ? place.slot : []));
  if (new Set(slots).size !== slots.length) differs('two live events have the same slot');
  const changed = slots.reduce<number>((a, b) => Math.max(a, b), last?.position ?? 0);
  if (changed !== head.last_position) differs(`last change at ${head.last_position}, should be at ${changed}`);
}

function verifyMembers({ stores, snapshot, room, events, differs }: Verification): void {
  const head = stores.rooms.head(snapshot, room.nid);
  const expected = new Map<number, string>();
  const servers = new Map<string, number>();
  const counts = { joined: 0, invited: 0 };
  for (const { key, event } of entriesOf(stores.states.entries(snapshot, head.snapshot, types.member))) {
    const user = stores.keys.text(snapshot, key as StateKeyNid) as UserId;
    const membership = events.get(event as EventNid)?.membership ?? 0;
    expected.set(key, `${membership} by ${event}, local ${Number(stores.members.isLocal(user))}`);
    if (membership === join) servers.set(serverNameOf(user), (servers.get(serverNameOf(user)) ?? 0) + 1);
    counts.joined += Number(membership === join);
    counts.invited += Number(membership === invite);
  }
  const rows = snapshot.all(selectMembers, room.nid);
  const stored = new Map(rows.map((row) => [row.user, `${row.membership} by ${row.event}, local ${row.local}`]));
  compareMaps(differs, 'member', stored, expected);
  compareMaps<string, number>(
    differs,
    'joined members of server',
    stores.members.joinedServers(snapshot, room.nid),
    servers,
  );
  if (head.joined !== counts.joined) differs(`${head.joined} members counted as joined, should be ${counts.joined}`);
  if (head.invited !== counts.invited)
    differs(`${head.invited} members counted as invited, should be ${counts.invited}`);
}

/** Replays the room's state history; out-of-band rows are facts and are taken as they stand. */
function verifyLocalMembership({ stores, snapshot, room, events, differs }: Verification): void {
  const rows = snapshot.all(selectLocalRows, room.nid);
  const outOfBand = rows.filter((row) => row.out_of_band === 1);
  const expected = new Map<string, string>();
  const last = new Map<number, LocalRow>();
  let before = 0 as SnapshotNid;
  for (const { position, snapshot: state } of snapshot.all(selectHistory, room.nid)) {
    while ((outOfBand[0]?.position ?? Infinity) < position) {
      const row = outOfBand.shift();
      if (row !== undefined) last.set(row.user, row);
    }
    for (const { type, key, to } of stores.states.difference(snapshot, before, state as SnapshotNid)) {
      if (type !== types.member || !stores.members.isLocal(stores.keys.text(snapshot, key as StateKeyNid))) continue;
      const membership = to === 0 ? leave : (events.get(to as EventNid)?.membership ?? 0);
      const known = last.get(key);
      if (known === undefined && to === 0) continue;
      const asksAnew = membership === invite || membership === knock;
      const same = known?.out_of_band === 0 && known.membership === membership && (!asksAnew || known.event === to);
      if (same) continue;
      last.set(key, { user: key, position, membership, event: to, out_of_band: 0 });
      expected.set(`of user ${key} at ${position}`, `${membership} by ${to}`);
    }
    before = state as SnapshotNid;
  }
  const stored = rows
    .filter((row) => row.out_of_band === 0)
    .map((row) => [`of user ${row.user} at ${row.position}`, `${row.membership} by ${row.event}`] as const);
  compareMaps(differs, 'local membership', new Map(stored), expected);
}

function verifyAnnotations(verification: Verification): void {
  const { stores, snapshot, room, events, differs } = verification;
  const relations = new Map<number, string[]>();
  for (const row of snapshot.all(selectRelations)) {
    if (!events.has(row.child as EventNid)) continue;
    relations.set(row.child, [...(relations.get(row.child) ?? []), `${row.rel_type} ${eventIdFrom(row.parent)}`]);
  }
  for (const meta of events.values()) {
    const { redacts } = stores.events.parsed(snapshot, meta.nid, room.rules);
    if (redacts !== undefined && !redactionsOf(snapshot, redacts).includes(meta.nid)) {
      differs(`event ${meta.nid}: there is no mark of its redaction`);
    }
    verifyRelation(verification, meta, relations.get(meta.nid) ?? []);
  }
}

function verifyRelation(
  { stores, snapshot, room, differs }: Verification,
  { nid, eventId, redactedBy }: EventMeta,
  stored: readonly string[],
): void {
  const texts = redactedBy === 0 ? stores.events.texts(snapshot, nid) : originalOf(snapshot, nid);
  // Of a redacted event whose original is deleted nothing more can be said.
  if (texts === undefined) return;
  const event = toRoomEvent(joinFromStorage(texts.client, texts.rest, room.rules), room.rules, eventId);
  const relation = relationOf(event);
  const expected = relation === undefined ? '' : `${relation.relType} ${relation.parent}`;
  if (stored.join() !== expected)
    differs(`event ${nid}: relation ${stored.join() || 'none'}, should be ${expected || 'none'}`);
}
