/** What /sync reads of this module, under the names that it asks for (`UserData` in syncapi/sources.ts). */
import type { RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { Position, Snapshot } from '../storage/index.ts';
import type { AccountData } from './account-data.ts';
import type { DeviceLists } from './device-lists.ts';
import type { Filters } from './filters.ts';
import type { KeyInventory, OneTimeKeys } from './one-time-keys.ts';
import type { Presence } from './presence.ts';
import type { PresenceContent, PresenceState } from './presence-state.ts';
import type { Receipt, Receipts } from './receipts.ts';
import type { ToDevice } from './to-device.ts';
import type { Typing, TypingList } from './typing.ts';

export interface SyncDataParts {
  readonly accountData: AccountData;
  readonly deviceLists: DeviceLists;
  readonly filters: Filters;
  readonly oneTimeKeys: OneTimeKeys;
  readonly presence: Presence;
  readonly receipts: Receipts;
  readonly toDevice: ToDevice;
  readonly typing: Typing;
}

export class SyncData {
  readonly #parts: SyncDataParts;

  constructor(parts: SyncDataParts) {
    this.#parts = parts;
  }

  /** Global (`roomId` null) or room account data changed in the range; `after` 0: all there is. */
  accountData(
    snapshot: Snapshot,
    user: UserId,
    roomId: RoomId | null,
    after: Position,
    upTo: Position,
  ): { type: string; content: string }[] {
    const { accountData } = this.#parts;
    if (after <= 0) return accountData.ofRoom(snapshot, user, roomId);
    return accountData.changes(snapshot, user, after, upTo).filter((row) => row.roomId === roomId);
  }

  accountDataRooms(snapshot: Snapshot, user: UserId, after: Position, upTo: Position): RoomId[] {
    const rows = this.#parts.accountData.changes(snapshot, user, after, upTo);
    return [...new Set(rows.flatMap(({ roomId }) => (roomId === null ? [] : [roomId])))];
  }

  ignoredUsers(snapshot: Snapshot, user: UserId): ReadonlySet<string> {
    return this.#parts.accountData.ignoredUsers(snapshot, user);
  }

  blocksInvites(snapshot: Snapshot, user: UserId): boolean {
    return this.#parts.accountData.blocksInvites(snapshot, user);
  }

  filter(snapshot: Snapshot, user: UserId, filterId: string): unknown {
    const text = this.#parts.filters.text(snapshot, user, filterId);
    return text === undefined ? undefined : JSON.parse(text);
  }

  receipts(snapshot: Snapshot, room: RoomNid, viewer: UserId, after: Position, upTo: Position): Receipt[] {
    return this.#parts.receipts.changes(snapshot, room, viewer, after, upTo);
  }

  receiptRooms(snapshot: Snapshot, after: Position, upTo: Position): RoomNid[] {
    return this.#parts.receipts.changedRooms(snapshot, after, upTo);
  }

  typing(room: RoomNid): TypingList | undefined {
    return this.#parts.typing.list(room);
  }

  typingRooms(after: Position): RoomNid[] {
    return this.#parts.typing.changedRooms(after);
  }

  presence(user: UserId): PresenceContent | undefined {
    return this.#parts.presence.get(user);
  }

  presenceChanges(after: Position): UserId[] {
    return this.#parts.presence.changedUsers(after);
  }

  /** A device polls; the returned function ends the poll. */
  polled(user: UserId, deviceId: string | undefined, presence: PresenceState): () => void {
    return this.#parts.presence.polls(user, deviceId, presence);
  }

  toDevice(
    snapshot: Snapshot,
    user: UserId,
    deviceId: string,
    after: Position,
    upTo: Position,
    limit: number,
  ): { position: Position; message: string }[] {
    return this.#parts.toDevice.waiting(snapshot, user, deviceId, after, upTo, limit);
  }

  acknowledgeToDevice(user: UserId, deviceId: string, upTo: Position): Promise<void> {
    return this.#parts.toDevice.acknowledge(user, deviceId, upTo);
  }

  postponeToDevice(user: UserId, deviceId: string, after: Position): Promise<void> {
    return this.#parts.toDevice.defer(user, deviceId, after);
  }

  /** Users whose devices, device names or cross-signing keys changed in the range, as `viewer` sees them. */
  deviceListChanges(snapshot: Snapshot, after: Position, upTo: Position, viewer: UserId): UserId[] {
    return this.#parts.deviceLists.changedUsers(snapshot, after, upTo, viewer);
  }

  keyInventory(snapshot: Snapshot, user: UserId, deviceId: string): KeyInventory {
    return this.#parts.oneTimeKeys.inventory(snapshot, user, deviceId);
  }
}
