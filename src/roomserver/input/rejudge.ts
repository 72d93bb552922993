/**
 * Judging again (INVARIANTS 11): when the verdict on a stored event changes, the events that cite it and those that stand
 * on it are judged anew, until nothing changes any more. What turns out rejected leaves the timeline and every state.
 */
import { sql, type Tx } from '../../storage/index.ts';
import { unpackList } from '../../util/varint.ts';
import { entriesOf } from '../state/snapshots.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';
import { applyRedactions } from './annotate.ts';
import { failureByAuthEvents, failureByState } from './checks.ts';
import { prevNids, updateExtremities } from './extremities.ts';
import type { Phase, PipelineTools } from './job.ts';

const selectCiting = sql<[room: number, nid: number], { nid: number; auth: Uint8Array }>(
  'SELECT nid, auth FROM room_events WHERE room = ? AND nid > ? ORDER BY nid',
);

/** The phase: an outlier that was accepted and is now rejected takes others with it. */
export const rejudgeCiting: Phase = (tx, job, tools) => {
  const { known } = job;
  if (known === undefined || (known.flags & flag.rejected) !== 0 || job.failure?.flag !== flag.rejected)
    return undefined;
  rejudge(tools, tx, job.room, [job.nid]);
  return undefined;
};

/** Judges again whatever the changed verdicts of some events touch. The current state is the caller's to move. */
export function rejudge(tools: PipelineTools, tx: Tx, room: Room, changed: readonly EventNid[]): void {
  const rejudged = new Set<EventNid>();
  let dirty = new Set(changed);
  while (dirty.size > 0) {
    tools.resolver.clear();
    const next = new Set<EventNid>();
    for (const nid of affectedBy(tools, tx, room, dirty)) {
      if (!judgeAgain(tools, tx, room, nid)) continue;
      next.add(nid);
      rejudged.add(nid);
    }
    dirty = next;
  }
  for (const nid of rejudged) {
    updateExtremities(tools.stores, tx, room.nid, nid);
    const { redacts } = tools.stores.events.parsed(tx, nid, room.rules);
    const target = redacts === undefined ? 0 : tools.stores.events.nidOf(tx, redacts);
    if (target > 0) applyRedactions(tools.stores, tx, room, target as EventNid, tools.now());
  }
}

/** Events that cite or descend from some, each behind its own prev events. */
function affectedBy({ stores }: PipelineTools, tx: Tx, room: Room, dirty: ReadonlySet<EventNid>): EventNid[] {
  const found = new Set<EventNid>();
  for (const row of tx.all(selectCiting, room.nid, Math.min(...dirty))) {
    if (unpackList(row.auth).some((nid) => dirty.has(nid as EventNid))) found.add(row.nid as EventNid);
  }
  const stack = [...dirty, ...found];
  for (let nid = stack.pop(); nid !== undefined; nid = stack.pop()) {
    for (const child of stores.graph.children(tx, nid)) {
      if (found.has(child)) continue;
      found.add(child);
      stack.push(child);
    }
  }
  return sortByPrevEvents(found, (nid) => prevNids(stores, tx, room.nid, nid));
}

/** Depth first: an event comes behind those of its prev events that are in the set. */
function sortByPrevEvents(nids: ReadonlySet<EventNid>, prevOf: (nid: EventNid) => readonly EventNid[]): EventNid[] {
  const sorted: EventNid[] = [];
  const seen = new Set<EventNid>();
  const stack = [...nids].sort((a, b) => b - a).map((nid) => ({ nid, leave: false }));
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    if (step.leave) sorted.push(step.nid);
    if (step.leave || seen.has(step.nid)) continue;
    seen.add(step.nid);
    stack.push({ nid: step.nid, leave: true });
    for (const prev of prevOf(step.nid)) if (nids.has(prev) && !seen.has(prev)) stack.push({ nid: prev, leave: false });
  }
  return sorted;
}

/** Judges one event again on what its prev events leave behind now; true when anything about it changed. */
function judgeAgain(tools: PipelineTools, tx: Tx, room: Room, nid: EventNid): boolean {
  const { events, states } = tools.stores;
  const meta = events.knownMeta(tx, nid);
  const event = events.parsed(tx, nid, room.rules);
  const isOutlier = (meta.flags & flag.outlier) !== 0;
  const before = isOutlier ? meta.snapshot : stateBeforeAgain(tools, tx, room, meta);
  const auth = events.authNids(tx, nid);
  const partial = (meta.flags & flag.partial) !== 0;
  const reason =
    failureByAuthEvents(tools.stores, tx, room, event, auth) ??
    (isOutlier ? undefined : failureByState(tools.stores, tools.resolver, tx, room, event, { before, partial, auth }));
  const rejected = reason !== undefined;
  const wasRejected = (meta.flags & flag.rejected) !== 0;
  const after = isOutlier || rejected || meta.key === 0 ? before : states.append(tx, before, meta.type, meta.key, nid);
  if (rejected === wasRejected && before === meta.snapshot && after === meta.after) return false;
  // A verdict by the state of its time (soft failure) is not taken back; a rejected event has no place.
  const flags = rejected ? (meta.flags & ~flag.softFailed) | flag.rejected : meta.flags & ~flag.rejected;
  events.updateJudged(tx, nid, { flags, snapshot: before, after, place: rejected ? undefined : meta.place });
  if (rejected !== wasRejected) events.setVerdictReason(tx, nid, reason);
  if (rejected && meta.place?.live === 1) {
    tools.append(tx, {
      topic: 'event.withdrawn',
      room: room.nid,
      roomId: room.roomId,
      event: nid,
      slot: meta.place.slot,
    });
  }
  return true;
}

function stateBeforeAgain({ stores, resolver }: PipelineTools, tx: Tx, room: Room, meta: EventMeta): SnapshotNid {
  const { events, states } = stores;
  if ((meta.flags & flag.toldState) !== 0) {
    // What another server told stays as told, without what is rejected by now.
    const gone = entriesOf(states.entries(tx, meta.snapshot)).filter(
      ({ event }) => (events.knownMeta(tx, event as EventNid).flags & flag.rejected) !== 0,
    );
    return states.overlay(
      tx,
      meta.snapshot,
      gone.map(({ type, key }) => ({ type, key, event: 0 })),
    );
  }
  const after = prevNids(stores, tx, room.nid, meta.nid)
    .map((prev) => events.knownMeta(tx, prev).after)
    .filter((state) => state > 0);
  return after.length === 0 ? meta.snapshot : resolver.resolve(tx, room, after, false);
}
