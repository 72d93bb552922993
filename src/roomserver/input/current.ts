/** The phase that moves the room's current state: the resolution of the states after all forward extremities. */
import type { Tx } from '../../storage/index.ts';
import { moveCurrentState } from '../state/current.ts';
import { type Resolver, ResolutionTooLarge } from '../state/resolve.ts';
import type { SnapshotNid } from '../types.ts';
import { type Job, type Phase, type PipelineTools, positionOf } from './job.ts';

export const moveState: Phase = (tx, job, tools) => {
  const { stores, resolver } = tools;
  if (job.kind === 'outlier') return undefined;
  const { rooms, events } = stores;
  const room = job.room.nid;
  const after = job.coversAll ? [job.after] : rooms.extremities(tx, room).map((nid) => events.knownMeta(tx, nid).after);
  // With nothing to stand on (all that we know of failed) the state stays as it is.
  if (after.length === 0) return undefined;
  const next = resolveOrDefer(tx, job, resolver, after);
  if (next === rooms.head(tx, room).snapshot) return undefined;
  const position = positionOf(tx, job);
  job.stateChanged = true;
  for (const { user, membership } of moveCurrentState(stores, tx, room, next, position)) {
    job.entries.push({ topic: 'room.membership', room, roomId: job.room.roomId, user, membership });
  }
  giveUpIfEmpty(tx, job, tools);
  return undefined;
};

/**
 * When the last user of this server has left a partial room, nobody will make it whole: its rows go. Its events stay marked,
 * so that no later join takes their state for full.
 */
function giveUpIfEmpty(tx: Tx, { room }: Job, { stores, onPartialEnd }: PipelineTools): void {
  if (stores.partial.get(tx, room.nid) === undefined) return;
  if (stores.members.joinedLocalUsers(tx, room.nid).length > 0) return;
  stores.partial.end(tx, room.nid, undefined);
  tx.afterCommit(() => onPartialEnd(room.nid));
}

/** A resolution to defer needs the state after this very event, which rolls back with the unit: say so. */
function resolveOrDefer(tx: Tx, job: Job, resolver: Resolver, sets: readonly SnapshotNid[]): SnapshotNid {
  try {
    return resolver.resolve(tx, job.room, sets, job.mayDefer);
  } catch (error) {
    if (!(error instanceof ResolutionTooLarge)) throw error;
    throw new ResolutionTooLarge(error.sets, { before: job.before, after: job.after });
  }
}
