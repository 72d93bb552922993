/**
 * The storing phase: the event's row with the state before and after it, its place in the room's order, and its edges in
 * both directions.
 */
import type { Tx } from '../../storage/index.ts';
import { flag } from '../storage/event-rows.ts';
import type { EventNid, SnapshotNid } from '../types.ts';
import { type Job, type Phase, type PipelineTools, positionOf } from './job.ts';

export const storeEvent: Phase = (tx, job, { stores }) => {
  const { event, room, known, auth, before } = job;
  const isOutlier = job.kind === 'outlier';
  const told = !isOutlier && (job.toldState !== undefined || job.missing.length > 0);
  const flags =
    (isOutlier ? flag.outlier : 0) |
    (told ? flag.toldState : 0) |
    (job.partial && !isOutlier ? flag.partial : 0) |
    (job.failure?.flag ?? 0);
  const place = placeOf(tx, job);
  if (known === undefined) job.nid = stores.events.newNid();
  job.after = stateAfter(tx, job, stores);
  const judged = { flags, snapshot: before, after: job.after, place };
  if (known !== undefined) stores.events.updateJudged(tx, job.nid, judged);
  else {
    const prev = prevInOrder(job);
    job.client = stores.events.insert(tx, job.nid, { event, room: room.nid, rules: room.rules, auth, prev, ...judged });
  }
  if (job.failure !== undefined || known !== undefined) {
    stores.events.setVerdictReason(tx, job.nid, job.failure?.reason);
  }
  return undefined;
};

/** The prev events by number as the event cites them, where each is stored with its state. */
function prevInOrder({ kind, event, prev }: Job): EventNid[] | undefined {
  if (kind === 'outlier') return undefined;
  const nids = new Map(prev.map(({ eventId, nid }) => [eventId, nid]));
  const inOrder = event.prevEvents.flatMap((id) => nids.get(id) ?? []);
  return inOrder.length === event.prevEvents.length ? inOrder : undefined;
}

/** State after = state before + own entry unless the event is rejected (INVARIANTS 10). */
function stateAfter(tx: Tx, job: Job, stores: PipelineTools['stores']): SnapshotNid {
  const { event } = job;
  if (job.kind === 'outlier' || event.stateKey === undefined || job.failure?.flag === flag.rejected) return job.before;
  const type = stores.types.intern(tx, event.type);
  const key = stores.keys.intern(tx, event.stateKey);
  return stores.states.append(tx, job.before, type, key, job.nid);
}

/** Only accepted events have a place (INVARIANTS 11, 12). */
function placeOf(tx: Tx, job: Job): { slot: ReturnType<typeof positionOf>; live: 0 | 1 } | undefined {
  if (job.failure !== undefined || job.kind === 'outlier') return undefined;
  if (job.kind === 'live') return { slot: positionOf(tx, job), live: 1 };
  return job.slot === undefined ? undefined : { slot: job.slot, live: 0 };
}

export const storeEdges: Phase = (tx, job, { stores }) => {
  const { graph } = stores;
  if (job.kind === 'outlier') return undefined;
  for (const prev of job.prev) graph.addEdge(tx, prev.nid, job.nid);
  for (const eventId of job.missing) graph.addMissing(tx, job.room.nid, eventId, job.nid);
  graph.fillMissing(tx, job.room.nid, job.event.eventId, job.nid);
  return undefined;
};

/** The same for an event of our own: what it stands on is stored, and nothing can have named it yet. */
export const storeOwnEdges: Phase = (tx, job, { stores }) => {
  for (const prev of job.prev) stores.graph.addEdge(tx, prev.nid, job.nid);
  return undefined;
};
