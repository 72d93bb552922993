/**
 * Whom what happens concerns on other servers: follows the log, entries that are on disk, and shares events out among
 * destinations; tells typing, presence and public receipts of our users to the servers of their rooms.
 */
import type { Bus, Logged, ReceiptEntry, RoomEventEntry, RoomNid, TypingEntry } from '../../bus/index.ts';
import { serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import { asPosition, type Database, type Position, type Snapshot } from '../../storage/index.ts';
import type { Presence, Receipts, Typing } from '../../userapi/index.ts';
import type { Sender } from './sender.ts';

export interface NewsParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly serverName: ServerName;
  readonly typing: Typing;
  readonly presence: Presence;
  readonly receipts: Receipts;
  readonly sender: Sender;
}

export class News {
  readonly #parts: NewsParts;
  /** Our users of whom other servers know that they are typing. */
  readonly #typing = new Map<RoomNid, ReadonlySet<UserId>>();

  constructor(parts: NewsParts) {
    this.#parts = parts;
    parts.bus.addListener((entries) => {
      if (parts.sender.started) parts.db.read((snapshot) => this.#hear(snapshot, entries));
    });
  }

  /** Other servers take a user for gone when they hear nothing of him for half an hour: who is present is told again. */
  repeatPresence(): void {
    const { db, presence } = this.#parts;
    db.read((snapshot) => {
      for (const user of presence.changedUsers(asPosition(0))) this.#presence(snapshot, user);
    });
  }

  #hear(snapshot: Snapshot, entries: readonly Logged[]): void {
    for (const { entry, position } of entries) {
      switch (entry.topic) {
        case 'room.event':
          this.#event(snapshot, entry, position);
          break;
        case 'room.state':
        case 'room.unpartial':
          this.#newHosts(snapshot, entry.room, position);
          break;
        case 'room.membership':
          if (entry.membership === 'join') this.#joined(snapshot, entry.room, entry.user);
          break;
        case 'room.receipt':
          this.#receipt(snapshot, entry, position);
          break;
        case 'room.typing':
          this.#typed(snapshot, entry);
          break;
        case 'user.presence':
          this.#presence(snapshot, entry.user);
          break;
        case 'room.backfilled':
        case 'room.purged':
        case 'event.redacted':
        case 'event.withdrawn':
        case 'user.account_data':
        case 'user.counts':
        case 'user.profile':
        case 'user.device_list':
        case 'device.to_device':
        case 'device.key_counts':
          break;
        default:
          entry satisfies never;
      }
    }
  }

  #event(snapshot: Snapshot, { room, sender, broughtBy, stateChanged }: RoomEventEntry, position: Position): void {
    const { rooms } = this.#parts;
    const concernsOthers = broughtBy !== undefined || this.#isOurs(sender);
    if (concernsOthers && rooms.hasOtherHosts(snapshot, room, position)) {
      const hosts = rooms.hostsAt(snapshot, room, position).filter((server) => server !== broughtBy);
      this.#parts.sender.events(hosts, position);
    }
    if (stateChanged) this.#newHosts(snapshot, room, position);
  }

  /** Servers that have come into a room learn who of ours is there. */
  #newHosts(snapshot: Snapshot, room: RoomNid, position: Position): void {
    const { rooms, serverName } = this.#parts;
    const added = rooms.hostsOpenedAt(snapshot, room, position).filter((server) => server !== serverName);
    if (added.length === 0) return;
    for (const user of rooms.joinedLocalUsers(snapshot, room)) this.#tellPresence(added, user);
  }

  #joined(snapshot: Snapshot, room: RoomNid, user: UserId): void {
    if (this.#isOurs(user)) this.#tellPresence(this.#parts.rooms.hostsNow(snapshot, room), user);
  }

  #tellPresence(servers: readonly ServerName[], user: UserId): void {
    const { presence, sender } = this.#parts;
    const content = presence.get(user);
    if (content === undefined || content.presence === 'offline') return;
    sender.tell(servers, { kind: 'presence', user });
  }

  #presence(snapshot: Snapshot, user: UserId): void {
    const { rooms, sender } = this.#parts;
    if (this.#isOurs(user)) sender.tell(rooms.hostsSharingWith(snapshot, user), { kind: 'presence', user });
  }

  #receipt(snapshot: Snapshot, entry: ReceiptEntry, position: Position): void {
    const { rooms, receipts, sender } = this.#parts;
    const { room, roomId, user, receiptType, threadId } = entry;
    if (receiptType !== 'm.read' || !this.#isOurs(user)) return;
    // One that has moved on since has an entry of its own.
    const moved = receipts
      .changes(snapshot, room, user, asPosition(position - 1), position)
      .find((one) => one.user === user && one.type === 'm.read' && one.threadId === threadId);
    if (moved === undefined) return;
    const { eventId, ts } = moved;
    sender.tell(rooms.hostsNow(snapshot, room), { kind: 'receipt', roomId, user, threadId, eventId, ts });
  }

  #typed(snapshot: Snapshot, { room, roomId }: TypingEntry): void {
    const { rooms, typing, sender } = this.#parts;
    const before = this.#typing.get(room);
    const now = new Set((typing.list(room)?.users ?? []).filter((user) => this.#isOurs(user)));
    const changed = [...now]
      .filter((user) => before?.has(user) !== true)
      .concat([...(before ?? [])].filter((user) => !now.has(user)));
    if (now.size === 0) this.#typing.delete(room);
    else this.#typing.set(room, now);
    if (changed.length === 0) return;
    const hosts = rooms.hostsNow(snapshot, room);
    for (const user of changed) sender.tell(hosts, { kind: 'typing', roomId, user, typing: now.has(user) });
  }

  #isOurs(user: UserId): boolean {
    return serverNameOf(user) === this.#parts.serverName;
  }
}
