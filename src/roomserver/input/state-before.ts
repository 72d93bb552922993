/**
 * Third phase: the state before the event (DESIGN §5). It is what its prev events left behind, resolved when they
 * differ; where prev events are missing, another server must have told it.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { Tx } from '../../storage/index.ts';
import type { Entry } from '../state/blocks.ts';
import { emptySnapshot, entriesOf } from '../state/snapshots.ts';
import { flag } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { Room, SnapshotNid } from '../types.ts';
import type { Phase } from './job.ts';

export const findStateBefore: Phase = (tx, job, { stores, resolver }) => {
  if (job.kind === 'outlier') return undefined;
  if (job.toldState !== undefined) {
    const told = storeToldState(tx, stores, job.room, job.toldState);
    if (typeof told === 'string') return { kind: 'dropped', reason: told, lacks: true };
    job.before = told;
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

/** A state as another server told it, stored; a sentence when one of its events is not stored. Later entries win. */
export function storeToldState(
  tx: Tx,
  { events, states, rooms }: Stores,
  room: Room,
  told: readonly EventId[],
): SnapshotNid | string {
  const entries = new Map<string, Entry>();
  for (const eventId of told) {
    const meta = events.meta(tx, events.nidOf(tx, eventId));
    if (meta === undefined) return `the state event ${eventId} is not known`;
    if (meta.key === 0 || (meta.flags & flag.rejected) !== 0 || meta.room !== room.nid) continue;
    entries.set(`${meta.type} ${meta.key}`, { type: meta.type, key: meta.key, event: meta.nid });
  }
  // Most of it is what the current state says too: only what differs is written.
  const current = rooms.head(tx, room.nid).snapshot;
  const changes = new Map(entries);
  for (const { type, key, event } of current === 0 ? [] : entriesOf(states.entries(tx, current))) {
    const pair = `${type} ${key}`;
    if (entries.get(pair)?.event === event) changes.delete(pair);
    else if (!entries.has(pair)) changes.set(pair, { type, key, event: 0 });
  }
  if (current === 0 || changes.size >= entries.size) return states.overlay(tx, emptySnapshot, [...entries.values()]);
  return states.overlay(tx, current, [...changes.values()]);
}
