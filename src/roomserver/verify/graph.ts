/**
 * Verification of what a room stands on: each event against its JSON, the order of NIDs, the state before and after each
 * event, verdicts, places in the room's order, and the current state as the resolution of what the extremities lead to.
 * These are facts: a difference is named, and nothing can repair it.
 */
import { eventIdOf } from '../../matrix/pdu.ts';
import { asPosition } from '../../storage/index.ts';
import { failureByAuthEvents, failureByState } from '../input/checks.ts';
import { Resolver } from '../state/resolve.ts';
import { emptySnapshot } from '../state/snapshots.ts';
import { type EventMeta, flag, membershipCode } from '../storage/event-rows.ts';
import type { SnapshotNid } from '../types.ts';
import { type Verification, compareMaps, isAccepted, isReal } from './verification.ts';

export function verifyGraph(verification: Verification): void {
  const { stores, events } = verification;
  const resolver = new Resolver(stores);
  for (const meta of events.values()) {
    verifyColumns(verification, meta);
    verifyVerdict(verification, meta, resolver);
    if (isReal(meta)) verifyState(verification, meta, resolver);
    verifyPlace(verification, meta);
  }
  verifyCurrent(verification, resolver);
}

function verifyColumns({ stores, snapshot, room, differs }: Verification, meta: EventMeta): void {
  const { events, types, keys } = stores;
  const event = events.parsed(snapshot, meta.nid, room.rules);
  const wrong = (column: string): void => differs(`event ${meta.nid}: ${column} is not that of its JSON`);
  if (eventIdOf(event.pdu, room.rules) !== meta.eventId) wrong('event_id');
  if (event.roomId !== room.roomId) wrong('room');
  if (types.text(snapshot, meta.type) !== event.type) wrong('type');
  if ((meta.key === 0 ? undefined : keys.text(snapshot, meta.key)) !== event.stateKey) wrong('state_key');
  if (keys.text(snapshot, meta.sender) !== event.sender) wrong('sender');
  if (meta.ts !== event.originServerTs) wrong('ts');
  if (meta.depth !== event.depth) wrong('depth');
  const isMember = event.type === 'm.room.member' && event.stateKey !== undefined;
  if (meta.membership !== (isMember ? membershipCode(event.content.membership) : 0)) wrong('membership');
  const auth = events.authNids(snapshot, meta.nid);
  if (auth.map((nid) => events.meta(snapshot, nid)?.eventId).join() !== event.authEvents.join()) wrong('auth');
  const prev = events.prevNids(snapshot, meta.nid);
  if (prev !== undefined && prev.some((nid) => events.meta(snapshot, nid)?.room !== room.nid)) wrong('prev');
  if (auth.some((nid) => nid >= meta.nid)) differs(`event ${meta.nid}: an auth event has no lower number`);
}

/** Verdicts, from the states that are stored (whether those are right is another check). */
function verifyVerdict({ stores, snapshot, room, differs }: Verification, meta: EventMeta, resolver: Resolver): void {
  const event = stores.events.parsed(snapshot, meta.nid, room.rules);
  const auth = stores.events.authNids(snapshot, meta.nid);
  const partial = (meta.flags & flag.partial) !== 0;
  const reason =
    failureByAuthEvents(stores, snapshot, room, event, auth) ??
    (isReal(meta)
      ? failureByState(stores, resolver, snapshot, room, event, { before: meta.snapshot, partial, auth })
      : undefined);
  const rejected = (meta.flags & flag.rejected) !== 0;
  if (rejected !== (reason !== undefined)) {
    differs(
      `event ${meta.nid}: ${rejected ? 'rejected, should be accepted' : `accepted, should be rejected: ${reason ?? ''}`}`,
    );
  }
  if (rejected && (meta.flags & flag.softFailed) !== 0) differs(`event ${meta.nid}: both rejected and soft-failed`);
}

function verifyState(verification: Verification, meta: EventMeta, resolver: Resolver): void {
  const { stores, snapshot, room, events, differs } = verification;
  const { prevEvents } = stores.events.parsed(snapshot, meta.nid, room.rules);
  const prev = prevEvents.map((id) => events.get(stores.events.nidOf(snapshot, id)));
  const known = prev.filter((entry) => entry !== undefined && entry.snapshot > 0);
  // Where history begins in a gap, a purge or a join, the state is the one that is stored there.
  if ((meta.flags & flag.toldState) === 0 && known.length === prev.length) {
    const after = known.flatMap((entry) => entry?.after ?? []);
    const { base, changes } =
      after.length === 0 ? { base: emptySnapshot, changes: [] } : resolver.compute(snapshot, room, after);
    const expected = new Map(changes.map(({ type, key, event }) => [`${type} ${key}`, event]));
    const stored = new Map(
      stores.states.difference(snapshot, base, meta.snapshot).map(({ type, key, to }) => [`${type} ${key}`, to]),
    );
    compareMaps(differs, `event ${meta.nid}: state before it at`, stored, expected);
  }
  const changes = stores.states.difference(snapshot, meta.snapshot, meta.after);
  const own = (meta.flags & flag.rejected) === 0 && meta.key > 0;
  const right = own
    ? changes.length === 1 &&
      changes[0]?.type === meta.type &&
      changes[0].key === meta.key &&
      changes[0].to === meta.nid
    : changes.length === 0;
  if (!right) differs(`event ${meta.nid}: the state after it is not the state before it and its own entry`);
}

function verifyPlace({ differs }: Verification, meta: EventMeta): void {
  const { nid, place } = meta;
  if (place !== undefined && !isAccepted(meta)) differs(`event ${nid}: has a place, though it was not accepted`);
}

/** Slots, and the current state as what the states after all forward extremities resolve to. */
function verifyCurrent({ stores, snapshot, room, events, differs }: Verification, resolver: Resolver): void {
  const slots = [...events.values()].flatMap(({ place }) => (place?.live === 1 ? place.slot : []));
  if (new Set(slots).size !== slots.length) differs('two live events have the same slot');
  const head = stores.rooms.head(snapshot, room.nid);
  if (stores.rooms.snapshotAt(snapshot, room.nid, asPosition(Number.MAX_SAFE_INTEGER)) !== head.snapshot) {
    differs('the newest row of its history is not its current state');
  }
  const extremities = stores.graph.extremities(snapshot, room.nid);
  const after = extremities.flatMap((nid) => events.get(nid)?.after ?? ([] as SnapshotNid[]));
  if (after.length === 0) return;
  const { base, changes } = resolver.compute(snapshot, room, after);
  const resolved = new Map(changes.map(({ type, key, event }) => [`${type} ${key}`, event]));
  const differences = stores.states.difference(snapshot, base, head.snapshot);
  const have = new Map(differences.map(({ type, key, to }) => [`${type} ${key}`, to]));
  compareMaps(differs, 'current state at', have, resolved);
}
