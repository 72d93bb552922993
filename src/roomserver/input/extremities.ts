/**
 * Forward extremities (INVARIANTS 10): the events, neither outlier nor rejected nor soft-failed, from which no other such
 * event is reachable forwards, passing through soft-failed and rejected ones.
 */
import type { Snapshot, Tx } from '../../storage/index.ts';
import { type EventMeta, flag } from '../storage/event-rows.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, RoomNid } from '../types.ts';
import { type Phase, positionOf } from './job.ts';

const isAccepted = ({ flags }: EventMeta): boolean => (flags & (flag.outlier | flag.rejected | flag.softFailed)) === 0;
const isPassedThrough = ({ flags }: EventMeta): boolean =>
  (flags & flag.outlier) === 0 && (flags & (flag.rejected | flag.softFailed)) !== 0;

/** The nearest accepted events in one direction. */
function nearestAccepted(
  stores: Stores,
  snapshot: Snapshot,
  start: EventNid,
  next: (nid: EventNid) => readonly EventNid[],
  firstOnly: boolean,
): EventNid[] {
  const found: EventNid[] = [];
  const seen = new Set<EventNid>([start]);
  const stack = [...next(start)];
  for (let nid = stack.pop(); nid !== undefined; nid = stack.pop()) {
    if (seen.has(nid)) continue;
    seen.add(nid);
    const meta = stores.events.meta(snapshot, nid);
    if (meta === undefined) continue;
    if (isAccepted(meta)) {
      found.push(nid);
      if (firstOnly) break;
    } else if (isPassedThrough(meta)) stack.push(...next(nid));
  }
  return found;
}

export const hasAcceptedDescendant = (stores: Stores, snapshot: Snapshot, nid: EventNid): boolean =>
  nearestAccepted(stores, snapshot, nid, (at) => stores.graph.children(snapshot, at), true).length > 0;

/** The stored prev events of an event. */
export function prevNids(stores: Stores, snapshot: Snapshot, room: RoomNid, nid: EventNid): EventNid[] {
  const known = stores.events.prevNids(snapshot, nid);
  if (known !== undefined) return known;
  const { rules } = stores.rooms.byNid(snapshot, room);
  const { prevEvents } = stores.events.parsed(snapshot, nid, rules);
  return [...new Set(prevEvents)].map((id) => stores.events.nidOf(snapshot, id)).filter((prev) => prev > 0);
}

export const nearestAcceptedAncestors = (
  stores: Stores,
  snapshot: Snapshot,
  room: RoomNid,
  nid: EventNid,
): EventNid[] => nearestAccepted(stores, snapshot, nid, (at) => prevNids(stores, snapshot, room, at), false);

/** Takes an event into account that was just stored, or judged anew. */
export function updateExtremities(stores: Stores, tx: Tx, room: RoomNid, nid: EventNid): void {
  const meta = stores.events.knownMeta(tx, nid);
  const accepted = isAccepted(meta);
  if (!accepted && !isPassedThrough(meta)) return;
  const hasDescendant = hasAcceptedDescendant(stores, tx, nid);
  if (accepted && !hasDescendant) stores.graph.addExtremity(tx, room, nid);
  else stores.graph.removeExtremity(tx, room, nid);
  const covered = accepted || hasDescendant;
  for (const ancestor of nearestAcceptedAncestors(stores, tx, room, nid)) {
    if (covered) stores.graph.removeExtremity(tx, room, ancestor);
    else if (!hasAcceptedDescendant(stores, tx, ancestor)) stores.graph.addExtremity(tx, room, ancestor);
  }
}

export const moveExtremities: Phase = (tx, job, { stores }) => {
  const room = job.room.nid;
  if (job.kind === 'outlier') return undefined;
  if (job.replacesRoom && job.failure === undefined) {
    stores.rooms.setBegins(tx, room, positionOf(tx, job));
    for (const extremity of stores.graph.extremities(tx, room)) stores.graph.removeExtremity(tx, room, extremity);
  }
  updateExtremities(stores, tx, room, job.nid);
  return undefined;
};

/** The same for an event of our own: it stands on all forward extremities that it names, and nothing stands on it. */
export const moveOwnExtremities: Phase = (tx, job, { stores }) => {
  for (const prev of job.prev) stores.graph.removeExtremity(tx, job.room.nid, prev.nid);
  stores.graph.addExtremity(tx, job.room.nid, job.nid);
  return undefined;
};
