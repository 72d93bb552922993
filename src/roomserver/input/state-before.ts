/**
 * Third phase: the state before the event (DESIGN §5). It is what its prev events left behind, resolved when they
 * differ; where prev events are missing, another server must have told it.
 */
import type { Tx } from '../../storage/index.ts';
import { emptySnapshot } from '../state/snapshots.ts';
import { flag } from '../storage/event-rows.ts';
import type { Job, Phase, PipelineTools } from './job.ts';
import type { SnapshotNid } from '../types.ts';
import { storeReadState, storeToldState } from './told.ts';

export const findStateBefore: Phase = (tx, job, tools) => {
  const { stores, resolver } = tools;
  if (job.kind === 'outlier') return undefined;
  if (job.toldState !== undefined) {
    const { room, readState } = job;
    const told =
      readState === undefined
        ? storeToldState(tx, stores, room, job.toldState)
        : storeReadState(tx, tools, room, readState);
    if (typeof told === 'string') return { kind: 'dropped', reason: told, lacks: true };
    job.before = job.partial ? withKnownMembers(tx, job, tools, told) : told;
    return undefined;
  }
  const told = job.missing.flatMap((eventId) => job.toldAfter.get(eventId) ?? []);
  const after = [...job.prev.map((meta) => meta.after), ...told];
  job.partial = job.prev.some(({ flags }) => (flags & flag.partial) !== 0);
  if (told.length < job.missing.length) {
    if (job.kind !== 'live' || stores.partial.get(tx, job.room.nid) === undefined)
      return { kind: 'dropped', reason: `prev events are not known: ${job.missing.join(', ')}`, lacks: true };
    // The resync asks for the state there; until then what is known of the room has to do.
    job.partial = true;
    after.push(stores.rooms.head(tx, job.room.nid).snapshot);
  }
  job.before = after.length === 0 ? emptySnapshot : resolver.resolve(tx, job.room, after, job.mayDefer);
  return undefined;
};

/** In a room that is partial already, a state without members goes with what we know of them. */
function withKnownMembers(tx: Tx, job: Job, { stores, resolver }: PipelineTools, told: SnapshotNid): SnapshotNid {
  if (stores.partial.get(tx, job.room.nid) === undefined) return told;
  const known = job.prev.map((meta) => meta.after);
  if (job.missing.length > 0) known.push(stores.rooms.head(tx, job.room.nid).snapshot);
  return resolver.resolve(tx, job.room, [told, ...known], job.mayDefer);
}
