/**
 * The timeline of a room: the newest events of the range that the user may see and the filter admits. `limited` is true
 * exactly when such events lie between the start of the range and the timeline; in a newly joined room, of which the
 * client has nothing yet, also those that the filter kept back. Back-filled events never enter it, and it never spans a
 * gap: it starts behind the last one (INVARIANTS 12). Where the operator wants that, the newest events are put into the order
 * of the graph in an initial sync.
 */
import { selectFields } from '../../matrix/filters.ts';
import { isJsonObject, parseJson } from '../../matrix/json.ts';
import { clientEvent, isHidden, membershipAt, type Place, type StoredEvent } from '../../roomserver/index.ts';
import { type Admission, admitsAny, admitsEvent } from '../event-admission.ts';
import { isPause } from '../items/item.ts';
import { roomMarks, type Compose, type Part, type Pass } from '../pass.ts';
import { type Cut, cutBefore, tokenAfter, tokenBefore } from '../place-token.ts';
import { formatSyncToken } from '../token.ts';
import type { RoomView } from './room-view.ts';

export interface Timeline {
  /** Oldest first. */
  readonly events: readonly StoredEvent[];
  readonly limited: boolean;
  /** The earliest place of an event in it; undefined: the timeline is empty. */
  readonly first: Place | undefined;
  /** Token from which paging back meets all that is not in it; undefined: right before `first`. */
  readonly before?: string;
}

const empty: Timeline = { events: [], limited: false, first: undefined };
/** Events looked through for those that are last in the graph, besides twice as many as are wanted. */
const graphWindow = 20;

/** Reads the timeline of a room for this pass. */
export function* readTimeline(pass: Pass, view: RoomView): Compose<Timeline> {
  const filter = pass.request.filter.room.timeline;
  if ((view.marks & roomMarks.events) === 0 && !view.fresh) return empty;
  if (!admitsAny(filter, view.room.roomId)) return empty;
  const { timelineLimit, initialTimeline } = pass.parts;
  const limit = Math.min(filter.limit ?? timelineLimit.default, timelineLimit.max);
  if (!pass.initial || initialTimeline === 'arrival' || limit === 0) return yield* newest(pass, view, limit);
  return lastInGraph(view, yield* newest(pass, view, limit * 2 + graphWindow), limit);
}

/** Of the newest events those that are last in the graph, in its order. */
function lastInGraph(view: RoomView, { events, limited }: Timeline, limit: number): Timeline {
  const depth = ({ place }: StoredEvent): number => place?.depth ?? 0;
  const slot = ({ place }: StoredEvent): number => place?.slot ?? 0;
  const sorted = events.toSorted((a, b) => depth(a) - depth(b) || slot(a) - slot(b));
  const shown = sorted.slice(-limit);
  const [first] = shown.toSorted((a, b) => slot(a) - slot(b));
  const left = sorted.slice(0, -limit).toSorted((a, b) => slot(b) - slot(a))[0];
  const timeline = { events: shown, limited: limited || left !== undefined, first: first?.place };
  if (!timeline.limited) return { ...timeline, before: formatSyncToken(view.end) };
  if (left?.place === undefined || first === undefined || slot(left) < slot(first)) return timeline;
  return { ...timeline, before: tokenAfter(left.place) };
}

/** The newest events, in the order in which they came. */
function* newest(pass: Pass, view: RoomView, limit: number): Compose<Timeline> {
  const { rooms } = pass.parts;
  const filter = pass.request.filter.room.timeline;
  const events: StoredEvent[] = [];
  const { snapshot, user: userId, ignored } = pass;
  const admission: Admission = { snapshot, rooms, roomId: view.room.roomId, userId, ignored };
  let upTo: Cut = view.end;
  // Nothing older than a gap belongs to this timeline; what is there only says whether it is limited.
  let closed = false;
  const hasGaps = rooms.hasGaps(snapshot, view.room.nid);
  // The filter keeps something back that is older than what is in the timeline so far.
  let passedOver = false;
  for (let size = limit + 1; ; size = Math.min(size * 2, 400)) {
    const batch = rooms.timelineBackward(pass.snapshot, view.room.nid, upTo, view.timelineFrom, size);
    const visible = new Set(rooms.visibleTo(pass.snapshot, pass.user, batch));
    for (const event of batch) {
      closed ||= event.place?.live === 0;
      // Who was refused, removed or banned is told so, whatever the visibility of that event.
      const mayView =
        visible.has(event) ||
        (view.section === 'leave' && event.nid === view.row.event) ||
        isNewState(pass, view, event);
      const admitted = mayView && admitsEvent(admission, filter, event);
      if (admitted && (closed || events.length === limit)) return timeline(events, true);
      if (admitted) events.push(event);
      passedOver = mayView && !admitted;
      if (!closed && hasGaps && rooms.isBehindGap(pass.snapshot, event)) {
        // What is missing there may be for the user to see.
        return timeline(events, true);
      }
    }
    const last = batch.at(-1)?.place;
    if (batch.length < size || last === undefined) {
      return timeline(events, passedOver && view.fresh && !pass.initial);
    }
    upTo = cutBefore(last);
    yield;
  }
}

/**
 * What has become the state of a joined room within the range stands in its place in the timeline, even if it happened
 * while the user was away and might not look: he gets it anyway.
 */
function isNewState({ snapshot, since, initial, parts }: Pass, view: RoomView, event: StoredEvent): boolean {
  if (initial || view.section !== 'join' || event.stateKey === null || (event.place?.slot ?? 0) <= since) return false;
  const { rooms } = parts;
  const state = rooms.snapshotAt(snapshot, view.room.nid, view.end);
  return rooms.stateEvent(snapshot, state, event.type, event.stateKey) === event.nid;
}

const timeline = (newestFirst: StoredEvent[], limited: boolean): Timeline => {
  const events = newestFirst.reverse();
  return { events, limited, first: events[0]?.place };
};

/** Writes events as this client wants them: its format, its fields. */
export function* writeEvents(pass: Pass, events: Iterable<StoredEvent>): Compose<string> {
  const texts: string[] = [];
  let step = 0;
  for (const event of events) {
    texts.push(writeEvent(pass, event));
    if (isPause(step++)) yield;
  }
  return `[${texts.join(',')}]`;
}

function writeEvent(pass: Pass, event: StoredEvent): string {
  const { request } = pass;
  const { eventFields, eventFormat } = request.filter;
  const text = eventFormat === 'federation' ? federationText(pass, event) : clientText(pass, event);
  if (eventFields === undefined) return text;
  const parsed = parseJson(text);
  return isJsonObject(parsed) ? JSON.stringify(selectFields(parsed, eventFields)) : text;
}

/** The raw event, with the id that rooms since version 3 leave out of it: a client could only work it out by hashing. */
function federationText({ snapshot, parts, view }: Pass, event: StoredEvent): string {
  const { rooms } = parts;
  const text = rooms.pduText(snapshot, event.nid, isHidden(snapshot, rooms, event, view));
  return `{"event_id":${JSON.stringify(event.eventId)},${text.slice(1)}`;
}

/** Written once for all who share it: not for the sender's devices, nor where what is bundled depends on the viewer. */
function clientText(pass: Pass, event: StoredEvent): string {
  const { snapshot, view, wave } = pass;
  const { rooms } = pass.parts;
  const write = (): string => clientEvent(snapshot, rooms, event, view);
  const shared = wave !== undefined && event.stateKey === null && event.sender !== pass.user && event.redactedBy === 0;
  if (!shared || view.bundle?.(event) !== undefined) return write();
  return wave.text(event, membershipAt(snapshot, rooms, event, view), write);
}

/** The `timeline` member: events, `limited`, and the token from which /messages goes on backwards. */
export function* composeTimeline(pass: Pass, view: RoomView, read: Timeline): Compose<Part> {
  const events = yield* writeEvents(pass, read.events);
  const { shown } = pass.request;
  const last = read.events.at(-1)?.place?.slot;
  if (last !== undefined) shown.position(last);
  // What is filled in later before the first event has the same slot: a plain Position would pass it over.
  const before = read.before ?? (read.first === undefined ? formatSyncToken(view.end) : tokenBefore(read.first));
  return {
    text: `{"events":${events},"limited":${read.limited},"prev_batch":"${before}"}`,
    notable: read.events.length > 0 || read.limited,
  };
}
