/**
 * Making a partial-state room whole (DESIGN §7). The full state before each event is found in topological order and judges
 * it; what comes of that stands aside until the last event has it, so that the room that users see is of one kind all the
 * time. Then one commit puts everything in its place: verdicts, timeline, forward extremities, current state.
 */
import type { EventId } from '../../matrix/ids.ts';
import type { Position, Snapshot, Tx } from '../../storage/index.ts';
import { applyRedactions } from '../input/annotate.ts';
import { failureByAuthEvents, failureByState } from '../input/checks.ts';
import { prevNids, updateExtremities } from '../input/extremities.ts';
import type { PipelineTools } from '../input/job.ts';
import { rejudge } from '../input/rejudge.ts';
import { type ReadState, storeReadState } from '../input/told.ts';
import { moveCurrentState } from '../state/current.ts';
import { flag } from '../storage/event-rows.ts';
import type { PartialRoom, WholeResult } from '../storage/partial.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';
import { softFail, withdraw } from './soft-fail.ts';

/** What to do next in a partial room. */
export type Step =
  /** The state before this event is that after its prev events; other servers must tell it for those in `ask`. */
  { readonly kind: 'event'; readonly event: EventNid; readonly ask: readonly EventId[] } | { readonly kind: 'end' };

/** The first event, in topological order, whose full state is not known yet. */
export function nextStep(tools: PipelineTools, snapshot: Snapshot, room: Room, row: PartialRoom): Step {
  const { joinEvent } = row;
  const { partial } = tools.stores;
  const oldest = partial.firstUnjudged(snapshot, room.nid, joinEvent);
  if (oldest === undefined) return { kind: 'end' };
  let next = oldest;
  // Numbers nearly follow the graph: an event that came late may stand below one with a lower number, and below all of
  // them may be what an earlier join left incomplete.
  for (;;) {
    const waiting = prevNids(tools.stores, snapshot, room.nid, next).find(
      (prev) => isPartial(tools, snapshot, prev) && partial.result(snapshot, prev) === undefined,
    );
    if (waiting === undefined) break;
    next = waiting;
  }
  // Our own picture of what was before the join is not to be trusted either when it has failed.
  const asksAll = next === joinEvent && row.attempts > 0;
  const behind = [...fullStatesBehind(tools, snapshot, room, next)];
  const ask = behind.flatMap(([id, state]) => (state === 0 || asksAll ? id : []));
  return { kind: 'event', event: next, ask };
}

const isPartial = ({ stores }: PipelineTools, snapshot: Snapshot, nid: EventNid): boolean =>
  (stores.events.knownMeta(snapshot, nid).flags & flag.partial) !== 0;

/** The full states that the prev events leave behind, by their ids; 0: it is not known. */
function fullStatesBehind(
  { stores: { events, partial } }: PipelineTools,
  snapshot: Snapshot,
  room: Room,
  nid: EventNid,
): Map<EventId, SnapshotNid> {
  const stateAfter = (id: EventId): SnapshotNid => {
    const meta = events.meta(snapshot, events.nidOf(snapshot, id));
    if (meta === undefined) return unknown;
    const isWhole = (meta.flags & flag.partial) === 0;
    return partial.result(snapshot, meta.nid)?.after ?? (isWhole ? meta.after : unknown);
  };
  const { prevEvents } = events.parsed(snapshot, nid, room.rules);
  return new Map(prevEvents.map((id) => [id, stateAfter(id)]));
}

const unknown = 0 as SnapshotNid;

/**
 * Judges an event on its full state and writes down what comes of it. `told`: the states after prev events for which
 * another server had to tell it, all of it stored. `join`: the event that we came into the room by.
 * @throws ResolutionTooLarge when a resolution is to be prepared; an Error when that state does not admit our join
 */
export function judgeWhole(
  tools: PipelineTools,
  tx: Tx,
  room: Room,
  { event: nid, join }: { readonly event: EventNid; readonly join: EventNid },
  told: ReadonlyMap<EventId, ReadState>,
): void {
  const { stores, resolver } = tools;
  const meta = stores.events.meta(tx, nid);
  if (meta === undefined || (meta.flags & flag.partial) === 0) return;
  const before = stateBeforeWhole(tools, tx, room, nid, told);
  const event = stores.events.parsed(tx, nid, room.rules);
  const auth = stores.events.authNids(tx, nid);
  const reason =
    auth.map((cited) => stores.partial.result(tx, cited)?.reason).find((why) => why !== undefined) ??
    failureByAuthEvents(stores, tx, room, event, auth) ??
    failureByState(stores, resolver, tx, room, event, { before, partial: false, auth });
  // A server let us in: the state that keeps us out is not the one it has.
  if (reason !== undefined && nid === join) throw new Error(`the state before our join does not admit it: ${reason}`);
  const after =
    reason !== undefined || meta.key === 0 ? before : stores.states.append(tx, before, meta.type, meta.key, nid);
  stores.partial.addResult(tx, room.nid, { event: nid, before, after, told: told.size > 0, reason });
  stores.partial.noteAttempt(tx, room.nid, 0, 0, undefined);
}

function stateBeforeWhole(
  tools: PipelineTools,
  tx: Tx,
  room: Room,
  nid: EventNid,
  told: ReadonlyMap<EventId, ReadState>,
): SnapshotNid {
  const states = [...fullStatesBehind(tools, tx, room, nid)].map(([prev, known]) => {
    const read = told.get(prev);
    if (read === undefined && known !== 0) return known;
    const state =
      read === undefined ? `nobody was asked for the state after ${prev}` : storeReadState(tx, tools, room, read);
    if (typeof state === 'string') throw new Error(state);
    return state;
  });
  return tools.resolver.resolve(tx, room, states, true);
}

/** Looks ahead at what the end will change, where that is plain. What is to be read is read at once, the rest may pause. */
export function prepareEnd(
  { stores }: PipelineTools,
  snapshot: Snapshot,
  room: Room,
): Generator<void, void> | undefined {
  const [only, ...others] = stores.graph.extremities(snapshot, room.nid);
  const after = only === undefined ? undefined : stores.partial.result(snapshot, only)?.after;
  if (after === undefined || others.length > 0) return undefined;
  return stores.states.prepareDifference(snapshot, stores.rooms.head(snapshot, room.nid).snapshot, after);
}

/**
 * The end: all results take effect, soft failures are judged by the states of their time, the current state becomes
 * whole and so does the room. False: an event came meanwhile and has no result yet.
 * @throws ResolutionTooLarge when a resolution is to be prepared
 */
export function endResync(tools: PipelineTools, tx: Tx, room: Room, row: PartialRoom): boolean {
  const { stores, resolver } = tools;
  const marked = stores.partial.events(tx, room.nid, row.joinEvent);
  const results = stores.partial.results(tx, room.nid);
  const judged = new Set(results.map(({ event }) => event));
  if (marked.some((nid) => !judged.has(nid))) return false;
  const changed = results.filter((result) => applyResult(tools, tx, room, result)).map(({ event }) => event);
  if (changed.length > 0) rejudge(tools, tx, room, changed);
  const failed = softFail(tools, tx, room, marked);
  for (const nid of new Set([...changed, ...failed])) {
    updateExtremities(stores, tx, room.nid, nid);
    const { redacts } = stores.events.parsed(tx, nid, room.rules);
    const target = redacts === undefined ? 0 : stores.events.nidOf(tx, redacts);
    if (target > 0) applyRedactions(stores, tx, room, target as EventNid, tools.now());
  }
  const after = stores.graph.extremities(tx, room.nid).map((nid) => stores.events.knownMeta(tx, nid).after);
  const position = tx.nextPosition();
  if (after.length > 0) {
    const transitions = moveCurrentState(stores, tx, room.nid, resolver.resolve(tx, room, after, true), position);
    for (const { user, membership } of transitions) {
      tools.append(tx, { topic: 'room.membership', room: room.nid, roomId: room.roomId, user, membership });
    }
  }
  stores.rooms.setLastPosition(tx, room.nid, position);
  // Projections still see who was told to be in the room, and was treated so.
  tools.append(tx, { topic: 'room.unpartial', room: room.nid, roomId: room.roomId }, position);
  stores.partial.end(tx, room.nid, position);
  tx.afterCommit(() => tools.onPartialEnd(room.nid));
  return true;
}

/** Puts one event on its full state; true when its verdict is another one now. */
function applyResult(tools: PipelineTools, tx: Tx, room: Room, result: WholeResult): boolean {
  const { events } = tools.stores;
  const { event: nid, before, after, told, reason } = result;
  const meta = events.knownMeta(tx, nid);
  const rejected = reason !== undefined;
  const wasRejected = (meta.flags & flag.rejected) !== 0;
  let { place }: { place?: { readonly slot: Position; readonly live: 0 | 1 } | undefined } = meta;
  if (rejected) withdraw(tools, tx, room, nid, place);
  if (rejected) place = undefined;
  // What was wrongly rejected enters the timeline now: nobody has seen it yet.
  const restored = wasRejected && !rejected;
  if (restored) place = { slot: tx.nextPosition(), live: 1 };
  const kept = meta.flags & ~(flag.partial | flag.toldState | flag.rejected | flag.softFailed);
  events.updateJudged(tx, nid, {
    flags: kept | (told ? flag.toldState : 0) | (rejected ? flag.rejected : 0),
    ...{ snapshot: before, after, place },
  });
  if (rejected !== wasRejected) events.setVerdictReason(tx, nid, reason);
  if (restored && place !== undefined) announceRestored(tools, tx, room, nid, place.slot);
  return rejected !== wasRejected;
}

function announceRestored(tools: PipelineTools, tx: Tx, room: Room, nid: EventNid, position: Position): void {
  const { eventId, type, sender, stateKey = null } = tools.stores.events.parsed(tx, nid, room.rules);
  const { nid: roomNid, roomId } = room;
  tools.append(
    tx,
    { topic: 'room.event', room: roomNid, roomId, event: nid, eventId, type, sender, stateKey, stateChanged: false },
    position,
  );
}
