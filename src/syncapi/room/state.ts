/**
 * The state of a room, from snapshots and never by replaying the timeline (INVARIANTS 8): `state_after` is the
 * difference from what the client has to the end; `state` is that up to the timeline's start, plus, as it is at the end,
 * each key that changed later without an event of that key in the timeline. Lazy loading keeps, of the members, those
 * who speak in the timeline and those that changed.
 */
import { matchesEvent } from '../../matrix/filters.ts';
import type { EventNid, SnapshotNid, StateChange, StoredEvent } from '../../roomserver/index.ts';
import { asPosition, type Position } from '../../storage/index.ts';
import { isPause } from '../items/item.ts';
import { roomMarks, type Compose, type Part, type Pass } from '../pass.ts';
import type { RoomView } from './room-view.ts';
import { filteredEvent } from '../event-admission.ts';
import { type Timeline, writeEvents } from './timeline.ts';

export const memberType = 'm.room.member';
const noState = 0 as SnapshotNid;

/** Type and state key as one text. */
const keyOf = (type: string, stateKey: string): string => `${type}\n${stateKey}`;

/** S(p) of the view's room; 0 when there was no such room. */
export const snapshotAt = (pass: Pass, view: RoomView, position: Position): SnapshotNid =>
  position === 0 ? noState : pass.parts.rooms.snapshotAt(pass.snapshot, view.room.nid, position);

/** The keys of the state that changed between two snapshots. */
export const stateChanges = (pass: Pass, from: SnapshotNid, to: SnapshotNid): StateChange[] =>
  from === to ? [] : pass.parts.rooms.stateDifference(pass.snapshot, from, to);

/** Events to send as state, by type and key. */
type Selection = Map<string, EventNid>;

/** `state` or `state_after`; `heroes` are members that the client must know whatever happens. */
export function* composeState(
  pass: Pass,
  view: RoomView,
  timeline: Timeline,
  heroes: readonly string[],
): Compose<Part> {
  const selection = select(pass, view, timeline);
  if (pass.request.filter.room.state.lazyLoadMembers && !view.outsider) {
    addMembers(pass, view, timeline, heroes, selection);
  }
  const events = yield* load(pass, view, selection);
  if (pass.request.filter.room.state.lazyLoadMembers) noteMembers(pass, view, [...timeline.events, ...events]);
  const text = yield* writeEvents(pass, events);
  return { text: `{"events":${text}}`, notable: events.length > 0 };
}

/** Where the state that is asked for ends: before the timeline, or with it. */
function stateUntil(pass: Pass, view: RoomView, timeline: Timeline): Position {
  if (pass.request.stateAfter !== undefined || timeline.first === undefined) return view.stateEnd;
  return asPosition(Math.min(timeline.first.slot - 1, view.stateEnd));
}

function select(pass: Pass, view: RoomView, timeline: Timeline): Selection {
  const { rooms } = pass.parts;
  const inTimeline = keysIn(timeline);
  const selection: Selection = new Map();
  if (view.outsider) {
    const key = keyOf(memberType, pass.user);
    const own = rooms.stateEvent(pass.snapshot, snapshotAt(pass, view, view.end), memberType, pass.user);
    if (own !== 0 && (pass.request.stateAfter !== undefined || !inTimeline.has(key))) selection.set(key, own);
    return selection;
  }
  // What did not move is as the client has it.
  if (view.stateFrom !== 0 && (view.marks & roomMarks.state) === 0) return selection;
  const from = snapshotAt(pass, view, view.stateFrom);
  const until = snapshotAt(pass, view, stateUntil(pass, view, timeline));
  const end = snapshotAt(pass, view, view.stateEnd);
  if (until !== 0) {
    if (from === 0) fill(pass, until, selection);
    else for (const { type, stateKey, to } of stateChanges(pass, from, until)) selection.set(keyOf(type, stateKey), to);
  }
  if (pass.request.stateAfter !== undefined) return selection;
  if (until !== 0) {
    for (const { type, stateKey, to } of stateChanges(pass, until, end)) {
      const key = keyOf(type, stateKey);
      if (!inTimeline.has(key)) selection.set(key, to);
    }
  } else if (end !== 0 && from === 0) {
    // A room that came with a join through another server: its state has begun with the timeline.
    fill(pass, end, selection);
    for (const key of inTimeline) selection.delete(key);
  }
  return selection;
}

/** The keys of the state events of a timeline. */
function keysIn(timeline: Timeline): Set<string> {
  const keys = new Set<string>();
  for (const { type, stateKey } of timeline.events) if (stateKey !== null) keys.add(keyOf(type, stateKey));
  return keys;
}

/** The whole of a state; under lazy loading without its members. */
function fill(pass: Pass, state: SnapshotNid, selection: Selection): void {
  const { rooms } = pass.parts;
  const entries = pass.request.filter.room.state.lazyLoadMembers
    ? rooms.stateEntriesWithoutMembers(pass.snapshot, state)
    : rooms.stateEntries(pass.snapshot, state);
  for (const { type, stateKey, event } of entries) selection.set(keyOf(type, stateKey), event);
}

/** Who speaks in the timeline, the heroes, and with a whole state the user himself; not whom the client knows already. */
function addMembers(
  pass: Pass,
  view: RoomView,
  timeline: Timeline,
  heroes: readonly string[],
  selection: Selection,
): void {
  const { rooms, lazyMembers } = pass.parts;
  const { deviceId, filter } = pass.request;
  const until = snapshotAt(pass, view, stateUntil(pass, view, timeline));
  const state = until === 0 ? snapshotAt(pass, view, view.stateEnd) : until;
  if (state === 0) return;
  const told = until === 0 ? keysIn(timeline) : new Set<string>();
  const wanted = new Set<string>(heroes);
  for (const { sender } of timeline.events) wanted.add(sender);
  if (view.stateFrom === 0) wanted.add(pass.user);
  for (const user of wanted) {
    const key = keyOf(memberType, user);
    if (selection.has(key) || told.has(key)) continue;
    const event = rooms.stateEvent(pass.snapshot, state, memberType, user) || citedMember(pass, view, timeline, user);
    if (event === 0) continue;
    const redundant =
      deviceId !== undefined &&
      view.stateFrom !== 0 &&
      !filter.room.state.includeRedundantMembers &&
      lazyMembers.knows(pass.user, deviceId, { room: view.room.nid, user, event });
    if (!redundant) selection.set(key, event);
  }
}

/** In a partial room the state lacks who speaks: his events cite his member event. */
function citedMember({ parts, snapshot }: Pass, view: RoomView, timeline: Timeline, user: string): EventNid {
  if (!parts.rooms.isPartial(snapshot, view.room.nid)) return 0 as EventNid;
  const own = timeline.events.findLast(({ sender }) => sender === user);
  return own === undefined ? (0 as EventNid) : parts.rooms.citedMember(snapshot, own, user);
}

function* load(pass: Pass, view: RoomView, selection: Selection): Compose<StoredEvent[]> {
  const filter = pass.request.filter.room.state;
  const events: StoredEvent[] = [];
  let step = 0;
  for (const nid of selection.values()) {
    // 0: the key was taken out of the state, which the protocol has no word for.
    const event = nid === 0 ? undefined : pass.parts.rooms.event(pass.snapshot, nid);
    if (event !== undefined && matchesEvent(filter, filteredEvent(filter, view.room.roomId, event))) events.push(event);
    if (isPause(step++)) yield;
  }
  return events;
}

function noteMembers(pass: Pass, view: RoomView, events: readonly StoredEvent[]): void {
  for (const { type, stateKey, nid } of events) {
    if (type !== memberType || stateKey === null) continue;
    pass.sentMembers.push({ room: view.room.nid, user: stateKey, event: nid });
  }
}
