/**
 * Second phase: from cited ids to numbers. Auth events must all be stored (INVARIANTS 9); prev events may be missing,
 * and count as missing while they are outliers.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { EventMeta } from '../storage/event-rows.ts';
import type { EventNid } from '../types.ts';
import type { Phase } from './job.ts';

export const findEdges: Phase = (tx, job, { stores }) => {
  const auth: EventNid[] = [];
  for (const eventId of job.event.authEvents) {
    const nid = stores.events.nidOf(tx, eventId);
    if (nid === 0) return { kind: 'dropped', reason: `the auth event ${eventId} is not known`, lacks: true };
    // An outlier that has a number already may cite only what was stored before it.
    if (job.known !== undefined && nid >= job.known.nid)
      return { kind: 'dropped', reason: 'its auth events form a cycle' };
    auth.push(nid);
  }
  job.auth = auth;
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
