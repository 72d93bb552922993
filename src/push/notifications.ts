/**
 * The events that a user was notified of (C-S API v1.19 §Receiving notifications, `/notifications`), read from the facts
 * that his counts are made of.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import { clientEvent, clientView, type ClientView, type RoomReader, type StoredEvent } from '../roomserver/index.ts';
import { asPosition, type Position, type Snapshot } from '../storage/index.ts';
import type { UnreadCounts } from './counts.ts';
import { highlightBit, outcomeFor, selectActionsBefore, type ActionRow } from './storage.ts';

export interface NotificationsWish {
  readonly user: UserId;
  readonly deviceId: string | undefined;
  /** Only older ones than this Position; undefined: from the newest on. */
  readonly before: Position | undefined;
  readonly limit: number;
  readonly onlyHighlights: boolean;
  /** ms */
  readonly now: number;
}

export interface NotificationList {
  /** JSON texts of the items, newest first. */
  readonly items: readonly string[];
  /** `before` of the next page; undefined: there is none. */
  readonly next: Position | undefined;
  /** Position of the newest item; 0: there is none. */
  readonly newest: number;
}

interface Found {
  readonly room: RoomNid;
  readonly row: ActionRow;
  readonly outcome: number;
  readonly event: StoredEvent;
}

/** Rows read from a room at a time. */
const batch = 50;

export class Notifications {
  readonly #rooms: RoomReader;
  readonly #counts: UnreadCounts;

  constructor(rooms: RoomReader, counts: UnreadCounts) {
    this.#rooms = rooms;
    this.#counts = counts;
  }

  /** A page of them as of `head`, the sequence head of the snapshot. */
  list(snapshot: Snapshot, head: Position, wish: NotificationsWish): NotificationList {
    const found = this.#find(snapshot, head, wish);
    const page = found.slice(0, wish.limit);
    const view = clientView({ userId: wish.user, deviceId: wish.deviceId, now: wish.now, withoutRoomId: true });
    const last = page.at(-1)?.row.position;
    return {
      items: page.map((one) => this.#item(snapshot, head, one, view)),
      next: found.length > page.length && last !== undefined ? asPosition(last) : undefined,
      newest: page[0]?.row.position ?? 0,
    };
  }

  /** One more than asked for, if there are. Rooms come in the order of their last change, so that few are read. */
  #find(snapshot: Snapshot, head: Position, wish: NotificationsWish): Found[] {
    const wanted = wish.limit + 1;
    const before = wish.before ?? head + 1;
    const rooms = this.#rooms
      .localMemberships(snapshot, wish.user)
      .filter(({ forgotten, outOfBand }) => !forgotten && !outOfBand)
      .map(({ room }) => ({ room, last: this.#rooms.lastPosition(snapshot, room) }))
      .sort((a, b) => b.last - a.last);
    let found: Found[] = [];
    for (const { room, last } of rooms) {
      if (found.length === wanted && last < (found.at(-1)?.row.position ?? 0)) break;
      found = [...found, ...this.#inRoom(snapshot, room, before, wanted, wish)]
        .sort((a, b) => b.row.position - a.row.position)
        .slice(0, wanted);
    }
    return found;
  }

  #inRoom(snapshot: Snapshot, room: RoomNid, before: number, wanted: number, wish: NotificationsWish): Found[] {
    const found: Found[] = [];
    for (let bound = before; found.length < wanted;) {
      const rows = snapshot.all(selectActionsBefore, room, bound, batch);
      for (const row of rows) {
        if (found.length === wanted) break;
        const outcome = this.#outcome(snapshot, room, row, wish.user);
        if (outcome === 0 || (wish.onlyHighlights && (outcome & highlightBit) === 0)) continue;
        const event = this.#eventAt(snapshot, room, row.position);
        if (event !== undefined) found.push({ room, row, outcome, event });
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < batch) break;
      bound = last.position;
    }
    return found;
  }

  /** Who was named was notified; everyone else only while he was in the room. */
  #outcome(snapshot: Snapshot, room: RoomNid, row: ActionRow, user: UserId): number {
    if (row.sender === user) return 0;
    const outcome = outcomeFor(row, user);
    if (outcome === 0 || (row.named !== null && Object.hasOwn(JSON.parse(row.named) as object, user))) return outcome;
    const at = this.#rooms.localMembershipAt(snapshot, user, room, asPosition(row.position));
    return at?.membership === 'join' ? outcome : 0;
  }

  #eventAt(snapshot: Snapshot, room: RoomNid, position: number): StoredEvent | undefined {
    const slot = asPosition(position);
    const [event] = this.#rooms.timelineBackward(snapshot, room, slot, asPosition(position - 1), 1);
    return event?.place?.slot === slot && event.redactedBy === 0 ? event : undefined;
  }

  #item(snapshot: Snapshot, head: Position, { room, row, outcome, event }: Found, view: ClientView): string {
    const isRead = this.#counts.reading(snapshot, head, room, view.userId);
    const highlight: JsonObject = { set_tweak: 'highlight', value: true };
    const fields: JsonObject = {
      room_id: this.#rooms.roomByNid(snapshot, room).roomId,
      ts: event.originServerTs,
      read: isRead?.(row.position, row.thread_id) ?? false,
      actions: ['notify', ...((outcome & highlightBit) === 0 ? [] : [highlight])],
      // Rules of single devices, which it names, are gone from the specification; clients still read it.
      profile_tag: '',
    };
    return `${JSON.stringify(fields).slice(0, -1)},"event":${clientEvent(snapshot, this.#rooms, event, view)}}`;
  }
}
