/**
 * Bundled aggregations (C-S API v1.19 §Aggregations of child events): `unsigned.m.relations` with the latest valid edit,
 * the thread summary and the references of an event, as one user sees them. Annotations are not aggregated.
 */
import type { UserId } from '../../matrix/ids.ts';
import { asString, isJsonObject, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { ChildEvent, EventNid, StoredEvent } from '../types.ts';
import { type Bundle, clientEvent, clientView, contentOf } from './client-event.ts';

export interface BundleOptions {
  readonly userId: UserId;
  readonly deviceId?: string | undefined;
  readonly now: number;
  /** Users whose events do not count for this user (`m.ignored_user_list`). */
  readonly ignored: ReadonlySet<string>;
}

/** `rel_type` and `event_id` of a relation as content declares it; undefined without a well-formed one. */
export function relationIn(content: unknown): { readonly relType: string; readonly eventId: string } | undefined {
  const relation = memberOf(content, 'm.relates_to');
  const relType = asString(memberOf(relation, 'rel_type'));
  const eventId = asString(memberOf(relation, 'event_id'));
  return relType === undefined || eventId === undefined ? undefined : { relType, eventId };
}

/** Gives the aggregations of events to one user; handed to `clientView` for one response. */
export function createBundle(snapshot: Snapshot, rooms: RoomReader, options: BundleOptions): Bundle {
  const bundler = new Bundler(snapshot, rooms, options);
  return (event) => bundler.relations(event);
}

/** Up to this many children of one relation type are each checked for visibility. */
const checkedChildren = 200;

class Bundler {
  readonly #snapshot: Snapshot;
  readonly #rooms: RoomReader;
  readonly #options: BundleOptions;

  constructor(snapshot: Snapshot, rooms: RoomReader, options: BundleOptions) {
    this.#snapshot = snapshot;
    this.#rooms = rooms;
    this.#options = options;
  }

  relations(event: StoredEvent): string | undefined {
    const children = this.#rooms
      .children(this.#snapshot, event.room, event.eventId)
      .filter(({ sender }) => !this.#options.ignored.has(sender));
    // Most events have no children at all.
    if (children.length === 0) return undefined;
    const of = (relType: string): ChildEvent[] => children.filter((child) => child.relType === relType);
    const parts = [
      this.#replacement(event, of('m.replace')),
      this.#references(of('m.reference')),
      this.#thread(event, of('m.thread')),
    ];
    const text = parts.filter((part) => part !== undefined).join(',');
    return text === '' ? undefined : `{${text}}`;
  }

  /** "The most recent valid replacement event", by `origin_server_ts`, then by event id. */
  #replacement(event: StoredEvent, edits: readonly ChildEvent[]): string | undefined {
    // "If the original event is redacted, any m.replace relationship should not be bundled with it."
    if (edits.length === 0 || event.redactedBy !== 0) return undefined;
    // An edit cannot be edited.
    if (relationIn(contentOf(event))?.relType === 'm.replace') return undefined;
    const own = edits.filter(({ sender, type }) => sender === event.sender && type === event.type).sort(byTime);
    for (const { event: nid } of own) {
      const edit = this.#visible(nid);
      if (edit === undefined || edit.stateKey !== null) continue;
      // An encrypted replacement has its new content where only clients can look.
      const valid = event.type === 'm.room.encrypted' || isJsonObject(memberOf(contentOf(edit), 'm.new_content'));
      if (valid) return `"m.replace":${this.#client(edit)}`;
    }
    return undefined;
  }

  #references(children: readonly ChildEvent[]): string | undefined {
    const ids = this.#allVisible(children).map(({ eventId }) => `{"event_id":${JSON.stringify(eventId)}}`);
    return ids.length === 0 ? undefined : `"m.reference":{"chunk":[${ids.reverse().join(',')}]}`;
  }

  #thread(event: StoredEvent, all: readonly ChildEvent[]): string | undefined {
    // Threads do not nest: an event with a relation is no thread root.
    if (all.length === 0 || relationIn(contentOf(event)) !== undefined) return undefined;
    const children = this.#allVisible(all);
    let latest: StoredEvent | undefined;
    for (const { event: nid } of children) if ((latest = this.#visible(nid)) !== undefined) break;
    if (latest === undefined) return undefined;
    const { userId } = this.#options;
    const participated = event.sender === userId || children.some(({ sender }) => sender === userId);
    const summary = `"count":${children.length},"current_user_participated":${participated}`;
    // "Child events of the latest_event should themselves be aggregated."
    const bundled = (child: StoredEvent): string | undefined => this.relations(child);
    return `"m.thread":{"latest_event":${this.#client(latest, bundled)},${summary}}`;
  }

  #visible(nid: EventNid): StoredEvent | undefined {
    const event = this.#rooms.event(this.#snapshot, nid);
    if (event === undefined || !this.#rooms.mayView(this.#snapshot, this.#options.userId, event)) return undefined;
    return event;
  }

  /** Those that the user may see; of very many, whose number is approximate anyway, not each is looked at. */
  #allVisible(children: readonly ChildEvent[]): readonly ChildEvent[] {
    if (children.length > checkedChildren) return children;
    const events = children.flatMap(({ event }) => this.#rooms.event(this.#snapshot, event) ?? []);
    const visible = this.#rooms.visibleTo(this.#snapshot, this.#options.userId, events);
    if (visible.length === children.length) return children;
    const nids = new Set(visible.map(({ nid }) => nid));
    return children.filter(({ event }) => nids.has(event));
  }

  #client(event: StoredEvent, bundle?: Bundle): string {
    const { userId, deviceId, now } = this.#options;
    return clientEvent(this.#snapshot, this.#rooms, event, clientView({ userId, deviceId, now, bundle }));
  }
}

/** Newest first. */
const byTime = (one: ChildEvent, other: ChildEvent): number =>
  other.originServerTs - one.originServerTs || (one.eventId < other.eventId ? 1 : -1);
