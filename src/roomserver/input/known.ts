/**
 * First phase: an event that is stored ends at once with its recorded verdict. Only an outlier goes on, when it comes
 * with a place in the graph this time.
 */
import type { Snapshot } from '../../storage/index.ts';
import type { Verdict } from '../core.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { Phase } from './job.ts';

export const recordedVerdict = (stores: Stores, snapshot: Snapshot, { nid, flags }: EventMeta): Verdict => {
  if ((flags & flag.rejected) !== 0)
    return { kind: 'rejected', nid, reason: stores.events.verdictReason(snapshot, nid) };
  if ((flags & flag.softFailed) !== 0)
    return { kind: 'soft-failed', nid, reason: stores.events.verdictReason(snapshot, nid) };
  return { kind: 'accepted', nid };
};

export const endKnown: Phase = (tx, job, { stores }) => {
  const meta = stores.events.meta(tx, stores.events.nidOf(tx, job.event.eventId));
  if (meta === undefined) return undefined;
  if (meta.room !== job.room.nid) return { kind: 'dropped', reason: 'the event belongs to another room' };
  if ((meta.flags & flag.outlier) === 0 || job.kind === 'outlier') return recordedVerdict(stores, tx, meta);
  job.known = meta;
  job.nid = meta.nid;
  return undefined;
};
