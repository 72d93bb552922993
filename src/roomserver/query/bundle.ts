/**
 * Bundled aggregations (C-S API v1.19 §Aggregations of child events): `unsigned.m.relations` with the latest valid edit,
 * the thread summary and the references of an event, as one user sees them. Annotations are not aggregated.
 */
import type { UserId } from '../../matrix/ids.ts';
import { asString, isJsonObject, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../core.ts';
import type { StoredEvent } from '../types.ts';
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
    // Most events have no children at all: one look-up says so.
    if (this.#rooms.relatingEvents(this.#snapshot, event.room, event.eventId, undefined, undefined).length === 0) {
      return undefined;
    }
    const parts = [this.#replacement(event), this.#references(event), this.#thread(event)];
    const text = parts.filter((part) => part !== undefined).join(',');
    return text === '' ? undefined : `{${text}}`;
  }

  /** Children that this user may see and that still relate: not redacted, not by ignored users, newest first. */
  #children(event: StoredEvent, relType: string, type?: string): StoredEvent[] {
    const children: StoredEvent[] = [];
    for (const nid of this.#rooms.relatingEvents(this.#snapshot, event.room, event.eventId, relType, type)) {
      const child = this.#rooms.event(this.#snapshot, nid);
      if (child === undefined || child.place === undefined || child.redactedBy !== 0) continue;
      if (child.room === event.room && !this.#options.ignored.has(child.sender)) children.push(child);
    }
    return this.#rooms.visibleTo(this.#snapshot, this.#options.userId, children);
  }

  /** "The most recent valid replacement event", by `origin_server_ts`, then by event id. */
  #replacement(event: StoredEvent): string | undefined {
    // "If the original event is redacted, any m.replace relationship should not be bundled with it."
    if (event.redactedBy !== 0 || event.stateKey !== null) return undefined;
    let latest: StoredEvent | undefined;
    for (const edit of this.#children(event, 'm.replace', event.type)) {
      if (edit.sender !== event.sender || edit.stateKey !== null || (latest && !isLater(edit, latest))) continue;
      // An encrypted replacement has its new content where only clients can look.
      const plain = event.type !== 'm.room.encrypted';
      if (!plain || isJsonObject(memberOf(contentOf(edit), 'm.new_content'))) latest = edit;
    }
    if (latest === undefined || relationIn(contentOf(event))?.relType === 'm.replace') return undefined;
    return `"m.replace":${this.#client(latest)}`;
  }

  #references(event: StoredEvent): string | undefined {
    const ids = this.#children(event, 'm.reference').map(({ eventId }) => `{"event_id":${JSON.stringify(eventId)}}`);
    return ids.length === 0 ? undefined : `"m.reference":{"chunk":[${ids.reverse().join(',')}]}`;
  }

  #thread(event: StoredEvent): string | undefined {
    const children = this.#children(event, 'm.thread');
    const [latest] = children;
    // Threads do not nest: an event with a relation is no thread root.
    if (latest === undefined || relationIn(contentOf(event)) !== undefined) return undefined;
    const { userId } = this.#options;
    const participated = event.sender === userId || children.some(({ sender }) => sender === userId);
    const summary = `"count":${children.length},"current_user_participated":${participated}`;
    // "Child events of the latest_event should themselves be aggregated."
    const bundled = (child: StoredEvent): string | undefined => this.relations(child);
    return `"m.thread":{"latest_event":${this.#client(latest, bundled)},${summary}}`;
  }

  #client(event: StoredEvent, bundle?: Bundle): string {
    const { userId, deviceId, now } = this.#options;
    return clientEvent(this.#snapshot, this.#rooms, event, clientView({ userId, deviceId, now, bundle }));
  }
}

const isLater = (one: StoredEvent, other: StoredEvent): boolean =>
  one.originServerTs === other.originServerTs ? one.eventId > other.eventId : one.originServerTs > other.originServerTs;
