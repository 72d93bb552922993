/** The phase that moves the room's current state: the resolution of the states after all forward extremities. */
import type { EventId } from '../../matrix/ids.ts';
import type { Tx } from '../../storage/index.ts';
import { moveCurrentState } from '../state/current.ts';
import { type Resolver, ResolutionTooLarge } from '../state/resolve.ts';
import { types } from '../storage/nids.ts';
import type { EventNid, SnapshotNid, StateKeyNid, TypeNid } from '../types.ts';
import { type Job, type Phase, type PipelineTools, positionOf } from './job.ts';

export const moveState: Phase = (tx, job, tools) => {
  const { stores, resolver } = tools;
  if (job.kind === 'outlier') return undefined;
  const { rooms, graph, events } = stores;
  const room = job.room.nid;
  const after = job.coversAll ? [job.after] : graph.extremities(tx, room).map((nid) => events.knownMeta(tx, nid).after);
  // With nothing to stand on (all that we know of failed) the state stays as it is.
  if (after.length === 0) return undefined;
  const next = resolveOrDefer(tx, job, resolver, after);
  if (next === rooms.head(tx, room).snapshot) return undefined;
  // Where one state follows from one other, nothing can be lost.
  const isResolved = after.length > 1 || job.prev.length > 1 || job.missing.length > 0;
  if (isResolved && !job.replacesRoom) noteReset(tx, job, tools, next);
  const position = positionOf(tx, job);
  job.stateChanged = true;
  for (const { user, membership } of moveCurrentState(stores, tx, room, next, position)) {
    job.entries.push({ topic: 'room.membership', room, roomId: job.room.roomId, user, membership });
  }
  return undefined;
};

/** Types of state whose loss changes who may do what. */
const guarded: ReadonlySet<TypeNid> = new Set([types.member, types.powerLevels, types.joinRules]);

/**
 * Tells of a state reset: a guarded entry goes back to an event that is older than the one in force, or away, though the
 * event that came is nothing that could have caused it (it sets no such state itself).
 */
function noteReset(tx: Tx, { event, room }: Job, { stores, onStateReset }: PipelineTools, next: SnapshotNid): void {
  const { events, states, rooms, graph, keys } = stores;
  if (event.stateKey !== undefined && guarded.has(stores.types.find(tx, event.type))) return;
  const current = rooms.head(tx, room.nid).snapshot;
  const idOf = (nid: number): EventId => events.knownMeta(tx, nid as EventNid).eventId;
  const differences = states.difference(tx, current, next).filter(({ type }) => guarded.has(type as TypeNid));
  // A younger event among them, from a state that was told, is cause enough for the others.
  if (differences.some(({ from, to }) => to > from)) return;
  const changes = differences
    .filter(({ from }) => from > 0)
    .map(({ type, key, from, to }) => ({
      type: stores.types.text(tx, type as TypeNid),
      stateKey: keys.text(tx, key as StateKeyNid),
      from: idOf(from),
      to: to === 0 ? undefined : idOf(to),
    }));
  if (changes.length === 0) return;
  const extremities = graph.extremities(tx, room.nid).map(idOf);
  tx.afterCommit(() => onStateReset({ room: room.roomId, event: event.eventId, extremities, changes }));
}

/**
 * When the last user of this server has left a partial room, nobody will make it whole: its rows go, once the leave is on
 * its way to the servers that they name. Its events stay marked, so that no later join takes their state for full.
 */
export const giveUpPartial: Phase = (tx, { room, stateChanged }, { stores, onPartialEnd }) => {
  if (!stateChanged || stores.partial.get(tx, room.nid) === undefined) return undefined;
  if (stores.members.joinedLocalUsers(tx, room.nid, 1).length > 0) return undefined;
  stores.partial.end(tx, room.nid, undefined);
  tx.afterCommit(() => onPartialEnd(room.nid));
  return undefined;
};

/** A resolution to defer needs the state after this very event, which rolls back with the unit: say so. */
function resolveOrDefer(tx: Tx, job: Job, resolver: Resolver, sets: readonly SnapshotNid[]): SnapshotNid {
  try {
    return resolver.resolve(tx, job.room, sets, job.mayDefer);
  } catch (error) {
    if (!(error instanceof ResolutionTooLarge)) throw error;
    throw new ResolutionTooLarge(error.sets, { before: job.before, after: job.after });
  }
}
