/**
 * Third phase: the state before the event (DESIGN §5). It is what its prev events left behind, resolved when they
 * differ; where prev events are missing, another server must have told it.
 */
import { emptySnapshot } from '../state/snapshots.ts';
import type { Entry } from '../state/blocks.ts';
import { flag } from '../storage/event-rows.ts';
import type { Phase } from './job.ts';

export const findStateBefore: Phase = (tx, job, { stores, resolver }) => {
  if (job.kind === 'outlier') return undefined;
  if (job.toldState !== undefined) {
    const entries = new Map<string, Entry>();
    for (const eventId of job.toldState) {
      const meta = stores.events.meta(tx, stores.events.nidOf(tx, eventId));
      if (meta === undefined) return { kind: 'dropped', reason: `the state event ${eventId} is not known` };
      if (meta.key === 0 || (meta.flags & flag.rejected) !== 0 || meta.room !== job.room.nid) continue;
      entries.set(`${meta.type} ${meta.key}`, { type: meta.type, key: meta.key, event: meta.nid });
    }
    job.before = stores.states.overlay(tx, emptySnapshot, [...entries.values()]);
    return undefined;
  }
  if (job.missing.length > 0)
    return { kind: 'dropped', reason: `prev events are not known: ${job.missing.join(', ')}` };
  const after = job.prev.map((meta) => meta.after);
  job.before = after.length === 0 ? emptySnapshot : resolver.resolve(tx, job.room, after, job.mayDefer);
  return undefined;
};
