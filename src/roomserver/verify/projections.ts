/**
 * The projections of a room's current state: expanded state, members, servers and counts, local users' transitions
 * (INVARIANTS 16), the Position of the last change.
 */
import { type UserId, serverNameOf } from '../../matrix/ids.ts';
import { type DerivedRow, DerivedTable, sql } from '../../storage/index.ts';
import { isTold } from '../state/current.ts';
import { entriesOf } from '../state/snapshots.ts';
import { membershipCode } from '../storage/event-rows.ts';
import { types } from '../storage/nids.ts';
import type { EventNid, SnapshotNid, StateKeyNid } from '../types.ts';
import { type Verification, compareRows } from './verification.ts';

const stateRows = new DerivedTable({
  table: 'room_state',
  what: 'row of the current state at',
  key: ['room', 'type', 'state_key'],
  values: ['event'],
});
const memberRows = new DerivedTable({
  table: 'room_members',
  what: 'member',
  key: ['user', 'room'],
  values: ['membership', 'local', 'event'],
});
const serverRows = new DerivedTable({
  table: 'room_servers',
  what: 'joined members of server',
  key: ['room', 'server'],
  values: ['joined'],
});
const hostRows = new DerivedTable({
  table: 'room_hosts',
  what: 'time in the room of server',
  key: ['server', 'room', 'from_position'],
  values: ['to_position'],
});
const headRows = new DerivedTable({
  table: 'room_rooms',
  what: 'joined, invited, last change',
  key: ['nid'],
  values: ['joined', 'invited', 'last_position'],
});
const localRows = new DerivedTable({
  table: 'room_local_membership',
  what: 'local membership',
  key: ['user', 'position'],
  values: ['room', 'membership', 'event', 'out_of_band'],
  facts: { forgotten: 0 },
});
const selectHistory = sql<[room: number], { position: number; snapshot: number }>(
  'SELECT position, snapshot FROM room_state_history WHERE room = ? ORDER BY position',
);
const selectMembers = sql<[room: number], { user: number; membership: number; local: number; event: number }>(
  'SELECT user, membership, local, event FROM room_members WHERE room = ?',
);
const selectServers = sql<[room: number], { server: number; joined: number }>(
  'SELECT server, joined FROM room_servers WHERE room = ?',
);
const selectHosts = sql<[room: number], { server: number; from_position: number; to_position: number | null }>(
  'SELECT server, from_position, to_position FROM room_hosts WHERE room = ?',
);
const selectLocalRows = sql<[room: number], LocalRow>(
  `SELECT user, position, membership, event, out_of_band FROM room_local_membership WHERE room = ? ORDER BY position`,
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
  verifyStateRows(verification);
  verifyMembers(verification);
  verifyLocalMembership(verification);
  verifyHosts(verification);
}

function verifyStateRows({ stores, snapshot, room, differs }: Verification): void {
  const stored = stores.rooms.state(snapshot, room.nid);
  const entries = entriesOf(stores.states.entries(snapshot, stores.rooms.head(snapshot, room.nid).snapshot));
  compareRows(
    differs,
    stateRows,
    stored.map((row) => [room.nid, row.type, row.state_key, row.event]),
    entries.map(({ type, key, event }) => [room.nid, type, key, event]),
    ([, type, key]) =>
      `${stores.types.text(snapshot, type as never)} ${stores.keys.text(snapshot, key as never)}`.trim(),
  );
}

function verifyMembers({ stores, snapshot, room, events, differs }: Verification): void {
  const { keys, members } = stores;
  const head = stores.rooms.head(snapshot, room.nid);
  const expected: DerivedRow[] = [];
  const servers = new Map<number, number>();
  const counts = { joined: 0, invited: 0 };
  for (const { key, event } of entriesOf(stores.states.entries(snapshot, head.snapshot, types.member))) {
    const user = keys.text(snapshot, key as StateKeyNid) as UserId;
    const membership = events.get(event as EventNid)?.membership ?? 0;
    expected.push([key, room.nid, membership, Number(members.isLocal(user)), event]);
    if (membership === join) {
      const server = keys.find(snapshot, serverNameOf(user));
      servers.set(server, (servers.get(server) ?? 0) + 1);
    }
    counts.joined += Number(membership === join);
    counts.invited += Number(membership === invite);
  }
  const named = ([key]: DerivedRow): string => keys.text(snapshot, key as StateKeyNid);
  const stored = snapshot.all(selectMembers, room.nid);
  compareRows(
    differs,
    memberRows,
    stored.map((row) => [row.user, room.nid, row.membership, row.local, row.event]),
    expected,
    named,
  );
  compareRows(
    differs,
    serverRows,
    snapshot.all(selectServers, room.nid).map((row) => [room.nid, row.server, row.joined]),
    [...servers].map(([server, joined]) => [room.nid, server, joined]),
    ([, server]) => keys.text(snapshot, server as StateKeyNid),
  );
  const slots = [...events.values()].flatMap(({ place }) => (place?.live === 1 ? place.slot : []));
  const lastState = snapshot.all(selectHistory, room.nid).at(-1)?.position ?? 0;
  const last = slots.reduce<number>((a, b) => Math.max(a, b), lastState);
  compareRows(
    differs,
    headRows,
    [[room.nid, head.joined, head.invited, head.last_position]],
    [[room.nid, counts.joined, counts.invited, last]],
  );
}

/** Replays the room's state history: when did each server come and go? */
function verifyHosts({ stores, snapshot, room, events, differs }: Verification): void {
  const { keys, states } = stores;
  const isJoin = (event: number): boolean => events.get(event as EventNid)?.membership === join;
  const expected: DerivedRow[] = [];
  const joined = new Map<number, number>();
  const since = new Map<number, number>();
  let before = 0 as SnapshotNid;
  for (const { position, snapshot: state } of snapshot.all(selectHistory, room.nid)) {
    const touched = new Set<number>();
    for (const { type, key, from, to } of states.difference(snapshot, before, state as SnapshotNid)) {
      const change = type === types.member ? Number(isJoin(to)) - Number(isJoin(from)) : 0;
      if (change === 0) continue;
      const server = keys.find(snapshot, serverNameOf(keys.text(snapshot, key as StateKeyNid) as UserId));
      joined.set(server, (joined.get(server) ?? 0) + change);
      touched.add(server);
    }
    for (const server of touched) {
      const from = since.get(server);
      const isThere = (joined.get(server) ?? 0) > 0;
      if (isThere && from === undefined) since.set(server, position);
      if (isThere || from === undefined) continue;
      since.delete(server);
      expected.push([server, room.nid, from, position]);
    }
    before = state as SnapshotNid;
  }
  for (const [server, from] of since) expected.push([server, room.nid, from, null]);
  compareRows(
    differs,
    hostRows,
    snapshot.all(selectHosts, room.nid).map((row) => [row.server, room.nid, row.from_position, row.to_position]),
    expected,
    ([server, , from]) => `${keys.text(snapshot, server as StateKeyNid)} since ${String(from)}`,
  );
}

/** Replays the room's state history; out-of-band rows are facts and are taken as they stand. */
function verifyLocalMembership({ stores, snapshot, room, events, differs }: Verification): void {
  const rows = snapshot.all(selectLocalRows, room.nid);
  const outOfBand = rows.filter((row) => row.out_of_band === 1);
  const expected: DerivedRow[] = [];
  const last = new Map<number, LocalRow>();
  const told = isTold(stores, snapshot);
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
      if (same || (known?.out_of_band === 1 && to > 0 && told(known.event as EventNid, to as EventNid))) continue;
      last.set(key, { user: key, position, membership, event: to, out_of_band: 0 });
      expected.push([key, position, room.nid, membership, to, 0]);
    }
    before = state as SnapshotNid;
  }
  compareRows(
    differs,
    localRows,
    rows
      .filter((row) => row.out_of_band === 0)
      .map((row) => [row.user, row.position, room.nid, row.membership, row.event, 0]),
    expected,
    ([user, position]) => `of user ${stores.keys.text(snapshot, user as StateKeyNid)} at ${String(position)}`,
  );
}
