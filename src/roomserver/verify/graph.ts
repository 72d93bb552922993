/**
 * Verification of the event graph: each event against its JSON, the order of NIDs, edges, the state before and after each
 * event, verdicts, forward extremities, places in the room's order.
 */
import { eventIdOf } from '../../matrix/pdu.ts';
import { redactedTexts, redactionInForce } from '../input/annotate.ts';
import { failureByAuthEvents, failureByState } from '../input/checks.ts';
import { hasAcceptedDescendant } from '../input/extremities.ts';
import { Resolver } from '../state/resolve.ts';
import { emptySnapshot } from '../state/snapshots.ts';
import { type EventMeta, flag, membershipCode } from '../storage/event-rows.ts';
import { eventIdFrom } from '../storage/nids.ts';
import type { EventNid, SnapshotNid } from '../types.ts';
import { type Verification, compareMaps } from './report.ts';

const isReal = ({ flags }: EventMeta): boolean => (flags & flag.outlier) === 0;
const isAccepted = ({ flags }: EventMeta): boolean => (flags & (flag.outlier | flag.rejected | flag.softFailed)) === 0;

export function verifyGraph(verification: Verification): void {
  const { stores, events } = verification;
  const resolver = new Resolver(stores);
  for (const meta of events.values()) {
    verifyColumns(verification, meta);
    verifyVerdict(verification, meta);
    if (isReal(meta)) verifyState(verification, meta, resolver);
    verifyPlace(verification, meta);
    verifyRedaction(verification, meta);
  }
  verifyEdges(verification);
  verifyExtremities(verification, resolver);
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
function verifyVerdict({ stores, snapshot, room, differs }: Verification, meta: EventMeta): void {
  const event = stores.events.parsed(snapshot, meta.nid, room.rules);
  const auth = stores.events.authNids(snapshot, meta.nid);
  const reason =
    failureByAuthEvents(stores, snapshot, room, event, auth) ??
    (isReal(meta) ? failureByState(stores, snapshot, room, event, meta.snapshot) : undefined);
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

function verifyRedaction({ stores, snapshot, room, differs }: Verification, meta: EventMeta): void {
  const { nid, redactedBy } = meta;
  const inForce = redactionInForce(stores, snapshot, room, meta);
  // Without its original an event stays redacted, whatever becomes of the redaction.
  if (inForce !== redactedBy) differs(`event ${nid}: redacted by ${redactedBy}, should be by ${inForce}`);
  if (redactedBy === 0) return;
  const stored = stores.events.texts(snapshot, nid);
  const redacted = redactedTexts(stores, snapshot, room, nid);
  if (redacted.client !== stored.client || redacted.rest !== stored.rest) {
    differs(`event ${nid}: marked as redacted, but its text is not`);
  }
}

function verifyEdges({ stores, snapshot, room, events, differs }: Verification): void {
  const expectedMissing = new Map<string, true>();
  const expectedEdges = new Map<string, true>();
  for (const meta of events.values()) {
    if (!isReal(meta)) continue;
    for (const id of stores.events.parsed(snapshot, meta.nid, room.rules).prevEvents) {
      const prev = events.get(stores.events.nidOf(snapshot, id));
      if (prev === undefined || prev.snapshot === 0) expectedMissing.set(`${id} before ${meta.nid}`, true);
      else expectedEdges.set(`from ${prev.nid} to ${meta.nid}`, true);
    }
  }
  const missing = stores.rooms.missing(snapshot, room.nid);
  const stored = new Map(missing.map((row) => [`${eventIdFrom(row.event_id)} before ${row.child}`, true] as const));
  compareMaps(differs, 'missing prev event', stored, expectedMissing);
  const edges = new Map<string, true>();
  for (const nid of events.keys()) {
    for (const child of stores.rooms.children(snapshot, nid)) edges.set(`from ${nid} to ${child}`, true);
  }
  compareMaps(differs, 'edge', edges, expectedEdges);
}

function verifyExtremities({ stores, snapshot, room, events, differs }: Verification, resolver: Resolver): void {
  const { begins, snapshot: current } = stores.rooms.head(snapshot, room.nid);
  const expected = new Map<EventNid, true>();
  for (const meta of events.values()) {
    if (!isAccepted(meta) || (meta.place?.live === 1 && meta.place.slot < begins)) continue;
    if (!hasAcceptedDescendant(stores, snapshot, meta.nid)) expected.set(meta.nid, true);
  }
  const stored = stores.rooms.extremities(snapshot, room.nid);
  compareMaps(differs, 'forward extremity', new Map(stored.map((nid) => [nid, true] as const)), expected);
  const after = stored.flatMap((nid) => events.get(nid)?.after ?? ([] as SnapshotNid[]));
  if (after.length === 0) return;
  const { base, changes } = resolver.compute(snapshot, room, after);
  const resolved = new Map(changes.map(({ type, key, event }) => [`${type} ${key}`, event]));
  const differences = stores.states.difference(snapshot, base, current);
  const have = new Map(differences.map(({ type, key, to }) => [`${type} ${key}`, to]));
  compareMaps(differs, 'current state at', have, resolved);
}
