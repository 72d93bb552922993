/**
 * Second phase: from cited ids to numbers. Auth events must all be stored (INVARIANTS 9); prev events may be missing,
 * and count as missing while they are outliers.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import type { Cited } from './cited.ts';
import type { Phase } from './job.ts';

export const findAuth: Phase = (tx, job, tools) => {
  const found: Cited[] = [];
  for (const eventId of job.event.authEvents) {
    const cited = job.citedOnce.find(tx, tools, job.room, eventId);
    if (cited === undefined) return { kind: 'dropped', reason: `the auth event ${eventId} is not known`, lacks: true };
    // An outlier that has a number already may cite only what was stored before it.
    if (job.known !== undefined && cited.nid >= job.known.nid)
      return { kind: 'dropped', reason: 'its auth events form a cycle' };
    found.push(cited);
  }
  job.cited = found;
  job.auth = found.map(({ nid }) => nid);
  return undefined;
};

export const findEdges: Phase = (tx, job, { stores }) => {
  const prev: EventMeta[] = [];
  const missing: EventId[] = [];
  for (const eventId of new Set(job.event.prevEvents)) {
    const meta = stores.events.meta(tx, stores.events.nidOf(tx, eventId));
    if (meta === undefined || meta.snapshot === 0) missing.push(eventId);
    else if (meta.room === job.room.nid) prev.push(meta);
    else return { kind: 'dropped', reason: 'a prev event belongs to another room' };
  }
  job.prev = prev;
  job.missing = missing;
  return undefined;
};
