/**
 * Events as clients get them (C-S API v1.19 §Room event format): the stored text with `event_id` and `unsigned` put in,
 * by concatenation; the content is never parsed. Everything that shows events to a client goes through `clientEvent`.
 */
import type { UserId } from '../../matrix/ids.ts';
import { asString, memberOf, parseJson } from '../../matrix/json.ts';
import { clientEventText } from '../../matrix/stored-event.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import type { RoomReader } from '../room-reader.ts';
import type { EventNid, SnapshotNid, StoredEvent } from '../types.ts';

/** Gives `unsigned.m.relations` of an event as JSON text; undefined when there is nothing to bundle. */
export type Bundle = (event: StoredEvent) => string | undefined;

/** For whom events are written, and how. One view serves one response: it remembers what it looked up. */
export interface ClientView {
  readonly userId: UserId;
  /** Sees its own transaction ids. */
  readonly deviceId: string | undefined;
  /** ms, for `unsigned.age`. */
  readonly now: number;
  /** Leaves `room_id` out, where the response names the room elsewhere. */
  readonly withoutRoomId: boolean;
  /** Adds `prev_content`, `prev_sender` and `replaces_state` to state events. */
  readonly previous: boolean;
  /** Adds `membership`, which takes a look into the state at each event. */
  readonly membership: boolean;
  /** Sees what is shown whatever the history visibility and memberships (an application service). */
  readonly seesAll: boolean;
  readonly bundle: Bundle | undefined;
  readonly memberships: Map<SnapshotNid, string>;
}

export interface ClientViewOptions {
  readonly userId: UserId;
  readonly deviceId?: string | undefined;
  readonly now: number;
  readonly withoutRoomId?: boolean;
  /** Default true. */
  readonly previous?: boolean;
  /** Default true. */
  readonly membership?: boolean;
  /** Default false. */
  readonly seesAll?: boolean;
  readonly bundle?: Bundle | undefined;
}

export const clientView = (options: ClientViewOptions): ClientView => ({
  userId: options.userId,
  deviceId: options.deviceId,
  now: options.now,
  withoutRoomId: options.withoutRoomId ?? false,
  previous: options.previous ?? true,
  membership: options.membership ?? true,
  seesAll: options.seesAll ?? false,
  bundle: options.bundle,
  memberships: new Map(),
});

const contentStart = '{"content":'.length;

/** JSON text of an event's `content`, cut out of its stored text: the first member in canonical order. */
export const contentText = ({ client }: StoredEvent): string =>
  // No raw `,"origin_server_ts":` can follow the top-level one, since only plain strings stand behind it.
  client.slice(contentStart, client.lastIndexOf(',"origin_server_ts":'));

/** An event's content, parsed. */
export const contentOf = (event: StoredEvent): unknown => parseJson(contentText(event));

/** `membership` of a stored member event; `leave` when it is unreadable. */
export const membershipOfEvent = (event: StoredEvent): string =>
  asString(memberOf(contentOf(event), 'membership')) ?? 'leave';

/** The stored text without the top-level `room_id`; the last raw occurrence is that one, as above. */
function withoutRoomId(client: string): string {
  const from = client.lastIndexOf(',"room_id":"');
  return from === -1 ? client : client.slice(0, from) + client.slice(client.indexOf('"', from + 12) + 1);
}

/**
 * JSON text of `event` for the client of `view`. The caller has checked that the user may see it.
 * `unsigned` holds `age`, and where they apply `membership` (at the event), `transaction_id` (for the sending device),
 * `replaces_state`, `prev_content`, `prev_sender`, `redacted_because`, `m.relations`.
 */
export const clientEvent = (snapshot: Snapshot, rooms: RoomReader, event: StoredEvent, view: ClientView): string =>
  eventText(snapshot, rooms, event, view, true);

/** @param outer whether to tell what redacted it: of a redaction in that place no more, since two may redact each other */
function eventText(
  snapshot: Snapshot,
  rooms: RoomReader,
  event: StoredEvent,
  view: ClientView,
  outer: boolean,
): string {
  const { client } = isHidden(snapshot, rooms, event, view) ? rooms.redacted(snapshot, event) : event;
  const text = view.withoutRoomId ? withoutRoomId(client) : client;
  return clientEventText(text, event.eventId, unsignedText(snapshot, rooms, event, view, outer));
}

/**
 * The event comes redacted to this user: its sender wanted to be erased, and the user was not in the room then
 * (INVARIANTS 17). State that others rely on, such as the room's name, stays.
 */
export function isHidden(snapshot: Snapshot, rooms: RoomReader, event: StoredEvent, view: ClientView): boolean {
  if (view.seesAll || !rooms.isErased(event.sender) || event.sender === view.userId) return false;
  const own = event.stateKey === null || (event.type === 'm.room.member' && event.stateKey === event.sender);
  return own && membershipAt(snapshot, rooms, event, view) !== 'join';
}

function unsignedText(
  snapshot: Snapshot,
  rooms: RoomReader,
  event: StoredEvent,
  view: ClientView,
  outer: boolean,
): string {
  let text = `{"age":${view.now - event.originServerTs}`;
  const membership = view.membership ? membershipAt(snapshot, rooms, event, view) : undefined;
  if (membership !== undefined) text += `,"membership":${JSON.stringify(membership)}`;
  if (event.sender === view.userId && view.deviceId !== undefined) {
    const transactionId = rooms.transactionId(snapshot, event.nid, view.deviceId);
    if (transactionId !== undefined) text += `,"transaction_id":${JSON.stringify(transactionId)}`;
  }
  if (view.previous && event.stateKey !== null) text += previousText(snapshot, rooms, event, event.stateKey, view);
  if (event.redactedBy !== 0 && outer) {
    const redaction = rooms.event(snapshot, event.redactedBy);
    if (redaction !== undefined) {
      // Its id alone stood here before the specification had a name for it; some clients still look for that.
      text += `,"redacted_because":${eventText(snapshot, rooms, redaction, view, false)}`;
      text += `,"redacted_by":${JSON.stringify(redaction.eventId)}`;
    }
  }
  // "State events do not currently receive bundled aggregations."
  const relations = event.stateKey === null ? view.bundle?.(event) : undefined;
  if (relations !== undefined) text += `,"m.relations":${relations}`;
  return `${text}}`;
}

function previousText(
  snapshot: Snapshot,
  rooms: RoomReader,
  event: StoredEvent,
  stateKey: string,
  view: ClientView,
): string {
  if (event.snapshot === 0) return '';
  const nid = rooms.stateEvent(snapshot, event.snapshot, event.type, stateKey);
  if (nid === 0) return '';
  const previous = rooms.event(snapshot, nid);
  if (previous === undefined) return '';
  const replaces = `,"replaces_state":${JSON.stringify(previous.eventId)}`;
  // `prev_content` is for who may see that event; `replaces_state` comes regardless of history visibility.
  if (!view.seesAll && !maySeePrevious(snapshot, rooms, event, previous, view.userId)) return replaces;
  if (isHidden(snapshot, rooms, previous, view)) return replaces;
  const content = contentText(previous);
  return `${replaces},"prev_content":${content},"prev_sender":${JSON.stringify(previous.sender)}`;
}

/** What is known only as part of a told state has no place in history: members of that time have seen it, and its subject. */
function maySeePrevious(
  snapshot: Snapshot,
  rooms: RoomReader,
  event: StoredEvent,
  previous: StoredEvent,
  user: UserId,
): boolean {
  if (!previous.outlier) return rooms.mayView(snapshot, user, previous);
  const own = rooms.stateEvent(snapshot, event.snapshot, 'm.room.member', user);
  return own !== 0 && (own === previous.nid || rooms.membershipOf(snapshot, own) === 'join');
}

/**
 * The user's membership at the event, "including any changes caused by the event", `leave` when there is none;
 * undefined when the state at the event is not known.
 */
export function membershipAt(
  snapshot: Snapshot,
  rooms: RoomReader,
  event: StoredEvent,
  view: ClientView,
): string | undefined {
  if (event.type === 'm.room.member' && event.stateKey === view.userId) return membershipOfEvent(event);
  if (event.snapshot === 0) return undefined;
  const known = view.memberships.get(event.snapshot);
  if (known !== undefined) return known;
  const nid = rooms.stateEvent(snapshot, event.snapshot, 'm.room.member', view.userId);
  const membership = nid === 0 ? 'leave' : (rooms.membershipOf(snapshot, nid) ?? 'leave');
  view.memberships.set(event.snapshot, membership);
  return membership;
}

/** Texts of many events, in order, with a turn of the event loop now and then; unknown NIDs are left out. */
export async function clientEvents(
  snapshot: Snapshot,
  rooms: RoomReader,
  nids: Iterable<EventNid>,
  view: ClientView,
  keep: (event: StoredEvent) => boolean = () => true,
): Promise<string[]> {
  const slice = new Slice();
  const texts: string[] = [];
  for (const nid of nids) {
    const event = rooms.event(snapshot, nid);
    if (event !== undefined && keep(event)) texts.push(clientEvent(snapshot, rooms, event, view));
    if (slice.spent) await slice.tick();
  }
  return texts;
}
