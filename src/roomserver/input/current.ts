/** The phase that moves the room's current state: the resolution of the states after all forward extremities. */
import type { Phase } from './job.ts';
import { positionOf } from './job.ts';
import { moveCurrentState } from '../state/current.ts';

export const moveState: Phase = (tx, job, { stores, resolver }) => {
  if (job.kind === 'outlier') return undefined;
  const { rooms, events } = stores;
  const room = job.room.nid;
  const after = rooms.extremities(tx, room).map((nid) => events.knownMeta(tx, nid).after);
  // With nothing to stand on (all that we know of failed) the state stays as it is.
  if (after.length === 0) return undefined;
  const next = resolver.resolve(tx, job.room, after, job.mayDefer);
  if (next === rooms.head(tx, room).snapshot) return undefined;
  const position = positionOf(tx, job);
  job.stateChanged = true;
  for (const { user, membership } of moveCurrentState(stores, tx, room, next, position)) {
    job.entries.push({ topic: 'room.membership', room, roomId: job.room.roomId, user, membership });
  }
  return undefined;
};
