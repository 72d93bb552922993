/**
 * Device lists of remote users who share a room with a local one (S-S API v1.19 §Device Management), as far as they need
 * no network: what is known, which updates follow on each other, and that a list goes with the last shared room
 * (INVARIANTS 19). `list-fetcher.ts` fetches what is missing.
 */
import type { Bus, RoomNid, StoredEntry } from '../../bus/index.ts';
import { serverNameOf, type UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import { asPosition, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { DeviceLists } from '../device-lists.ts';
import type { Signatures } from '../keys.ts';
import {
  sharedUsages,
  type RemoteDevice,
  type RemoteList,
  type RemoteSigningKey,
  type RemoteUserKeys,
  type SharedUsage,
} from './key-checks.ts';
import * as rows from './list-rows.ts';

/** One change of a device, as an EDU tells it. */
export interface DeviceUpdate {
  readonly userId: UserId;
  readonly streamId: number;
  readonly prevIds: readonly number[];
  readonly device: RemoteDevice;
  readonly deleted: boolean;
}

/** New cross-signing keys, as an EDU tells them; absent ones are as they were. */
export interface SigningKeyUpdate {
  readonly userId: UserId;
  readonly keys: RemoteUserKeys['signingKeys'];
}

/** What watches over lists that are being fetched; called within the transaction. */
export interface ListWatcher {
  /** An update came for a list that is not fresh. */
  updated(tx: Tx, userId: UserId, streamId: number): void;
  /** The last shared room has ended. */
  dropped(tx: Tx, userId: UserId): void;
}

type StateMove = Extract<StoredEntry, { topic: 'room.event' | 'room.state' | 'room.unpartial' }>;
const movesState = (entry: StoredEntry): entry is StateMove =>
  entry.topic === 'room.event' || entry.topic === 'room.state' || entry.topic === 'room.unpartial';

/** How many updates since the last fetch are remembered. */
const maxSeen = 100;
/** How many users' changes are held while rooms are partial. */
const maxHeld = 20_000;
const memberType = 'm.room.member';

const hasKeys = ({ devices, signingKeys }: RemoteUserKeys): boolean =>
  Object.keys(signingKeys).length > 0 || devices.some(({ keys }) => keys !== undefined);

export class RemoteLists {
  readonly #rooms: RoomReader;
  readonly #changes: DeviceLists;
  readonly #signatures: Signatures;
  readonly #isLocal: (user: UserId) => boolean;
  #watcher: ListWatcher | undefined;

  constructor(parts: {
    readonly bus: Bus;
    readonly rooms: RoomReader;
    readonly changes: DeviceLists;
    readonly signatures: Signatures;
    readonly isLocal: (user: UserId) => boolean;
  }) {
    this.#rooms = parts.rooms;
    this.#changes = parts.changes;
    this.#signatures = parts.signatures;
    this.#isLocal = parts.isLocal;
    parts.bus.addProjection({
      name: 'userapi.remote_lists',
      apply: (tx, entry, position) => this.#follow(tx, entry, position),
    });
  }

  watch(watcher: ListWatcher): void {
    this.#watcher = watcher;
  }

  /** Whether a local user is joined to a room with this remote one. */
  isShared(snapshot: Snapshot, userId: UserId): boolean {
    const rooms = this.#rooms.joinedRooms(snapshot, userId);
    return rooms.some((room) => this.#rooms.joinedLocalUsers(snapshot, room, 1).length > 0);
  }

  isFresh(snapshot: Snapshot, userId: UserId): boolean {
    return snapshot.get(rows.selectList, userId)?.fresh === 1;
  }

  /** What is known of a user's keys; only a fresh list is true. */
  keys(snapshot: Snapshot, userId: UserId): RemoteUserKeys {
    const devices = snapshot.all(rows.selectDevices, userId).map((row) => ({
      deviceId: row.device_id,
      displayName: row.display_name ?? undefined,
      keys: row.keys === null ? undefined : (JSON.parse(row.keys) as JsonObject),
    }));
    const signingKeys: { [Usage in SharedUsage]?: RemoteSigningKey } = {};
    for (const usage of sharedUsages) {
      const key = this.signingKey(snapshot, userId, usage);
      if (key !== undefined) signingKeys[usage] = key;
    }
    return { devices, signingKeys };
  }

  signingKey(snapshot: Snapshot, userId: UserId, usage: SharedUsage): RemoteSigningKey | undefined {
    const row = snapshot.get(rows.selectSigningKey, userId, usage);
    return row === undefined ? undefined : { id: row.public_key, key: JSON.parse(row.key) as JsonObject };
  }

  /** A cross-signing key with the signature that `viewer` has made on it, if he has. */
  withSignatureOf(snapshot: Snapshot, viewer: UserId, userId: UserId, { id, key }: RemoteSigningKey): JsonObject {
    return this.#signatures.addTo(snapshot, userId, id, key, viewer);
  }

  /** The list is to be fetched; `announce`: and clients are told when it is here, for its server says that it changed. */
  want(tx: Tx, userId: UserId, announce: boolean): void {
    tx.run(rows.upsertStale, userId, serverNameOf(userId), announce ? 1 : 0);
  }

  /**
   * Applies a change if it follows on what is known. "If a server receives an EDU which refers to a `prev_id` it does not
   * recognise, it must resynchronise its list": the list is then wanted. Returns whether it is.
   */
  update(tx: Tx, { userId, streamId, prevIds, device, deleted }: DeviceUpdate): boolean {
    if (!this.isShared(tx, userId)) return this.#hold(tx, userId);
    const row = tx.get(rows.selectList, userId);
    const seen = new Set(row === undefined ? [] : (JSON.parse(row.seen) as number[]));
    const isKnown = (id: number): boolean => row !== undefined && (id <= row.base_stream || seen.has(id));
    // "May be missing or empty for the first EDU in a sequence": a new sequence says nothing of what was before.
    const follows = prevIds.length > 0 && prevIds.every(isKnown);
    if (row?.fresh !== 1 || (!follows && !seen.has(streamId))) {
      this.want(tx, userId, true);
      this.#watcher?.updated(tx, userId, streamId);
      return true;
    }
    if (isKnown(streamId)) return false;
    tx.run(rows.updateSeen, JSON.stringify([...seen, streamId].slice(-maxSeen)), userId);
    const keys = device.keys === undefined ? null : JSON.stringify(device.keys);
    if (deleted) tx.run(rows.deleteDevice, userId, device.deviceId);
    else tx.run(rows.upsertDevice, userId, device.deviceId, device.displayName ?? null, keys);
    this.#changes.touch(tx, userId);
    return false;
  }

  /** Replaces cross-signing keys; they are in no sequence. Returns whether the list is wanted. */
  updateSigningKeys(tx: Tx, { userId, keys }: SigningKeyUpdate): boolean {
    if (!this.isShared(tx, userId)) return this.#hold(tx, userId);
    if (!this.isFresh(tx, userId)) {
      this.want(tx, userId, true);
      this.#watcher?.updated(tx, userId, 0);
      return true;
    }
    const before = JSON.stringify(this.keys(tx, userId).signingKeys);
    const old = this.signingKey(tx, userId, 'master');
    // A self-signing key is worth nothing without the master key that has signed it.
    if (keys.master !== undefined && keys.master.id !== old?.id)
      this.#setSigningKey(tx, userId, 'self_signing', undefined);
    for (const usage of sharedUsages)
      if (keys[usage] !== undefined) this.#setSigningKey(tx, userId, usage, keys[usage]);
    if (JSON.stringify(this.keys(tx, userId).signingKeys) !== before) this.#changes.touch(tx, userId);
    return false;
  }

  /** Stores a list that was fetched, and what `announce` will tell; false when no room is shared any more. */
  replace(tx: Tx, userId: UserId, list: RemoteList): boolean {
    const row = tx.get(rows.selectList, userId);
    if (!this.isShared(tx, userId)) {
      if (row !== undefined) this.#drop(tx, userId);
      return false;
    }
    const before = this.keys(tx, userId);
    const kept = new Set(list.devices.map(({ deviceId }) => deviceId));
    for (const { deviceId } of before.devices) if (!kept.has(deviceId)) tx.run(rows.deleteDevice, userId, deviceId);
    for (const { deviceId, displayName, keys } of list.devices) {
      tx.run(
        rows.upsertDevice,
        userId,
        deviceId,
        displayName ?? null,
        keys === undefined ? null : JSON.stringify(keys),
      );
    }
    for (const usage of sharedUsages) this.#setSigningKey(tx, userId, usage, list.signingKeys[usage]);
    // Who has asked before, through an older list or without one, must hear of it.
    const isFirst = (row?.base_stream ?? 0) === 0;
    const now = this.keys(tx, userId);
    const isNews =
      // Devices without keys are nothing that a client could use.
      (hasKeys(before) || hasKeys(now)) &&
      (isFirst || row?.announce === 1 || JSON.stringify(before) !== JSON.stringify(now));
    tx.run(rows.upsertFresh, userId, serverNameOf(userId), list.streamId, isNews ? 1 : 0);
    tx.touch(`user:${userId}`);
    return true;
  }

  /** Tells clients of lists that were fetched, at most `limit`; returns how many. */
  announce(tx: Tx, limit: number): number {
    const news = tx.all(rows.selectNews, limit);
    for (const { user_id: userId } of news) {
      tx.run(rows.updateAnnounced, userId);
      this.#changes.touch(tx, userId);
    }
    return news.length;
  }

  /** The projection: who shares no room any more is followed no longer (INVARIANTS 19). */
  #follow(tx: Tx, entry: StoredEntry, position: Position): void {
    if (!movesState(entry)) return;
    if (entry.topic === 'room.unpartial') this.#release(tx);
    if (tx.get(rows.selectAny) === undefined) return;
    if (entry.topic === 'room.event') {
      if (!entry.stateChanged) return this.#wasAway(tx, entry);
      const event = this.#rooms.event(tx, entry.event);
      const before = this.#rooms.snapshotAt(tx, entry.room, asPosition(position - 1));
      // Built on the state that was current: then it has changed its own key and nothing else.
      if (event?.snapshot === before && before !== 0) {
        if (entry.type === memberType && entry.stateKey !== null) this.#left(tx, entry.room, entry.stateKey as UserId);
        return;
      }
      this.#compare(tx, entry.room, position);
    } else this.#compare(tx, entry.room, position);
  }

  /**
   * A member event came that changes nothing any more, such as one that the full state of a partial room admits late: who
   * left by it and is back has sent no updates in between.
   */
  #wasAway(tx: Tx, { type, stateKey, event }: Extract<StateMove, { topic: 'room.event' }>): void {
    if (type !== memberType || stateKey === null || this.#rooms.membershipOf(tx, event) === 'join') return;
    this.#mistrust(tx, stateKey as UserId);
  }

  /** Updates of a list may have been missed. */
  #mistrust(tx: Tx, user: UserId): void {
    if (!this.isFresh(tx, user) || !this.isShared(tx, user)) return;
    this.want(tx, user, true);
    this.#watcher?.updated(tx, user, 0);
  }

  #compare(tx: Tx, room: RoomNid, position: Position): void {
    const before = this.#rooms.snapshotAt(tx, room, asPosition(position - 1));
    const now = this.#rooms.currentSnapshot(tx, room);
    if (before === 0 || now === 0 || before === now) return;
    for (const { type, stateKey } of this.#rooms.stateDifference(tx, before, now)) {
      if (type !== memberType) continue;
      this.#left(tx, room, stateKey as UserId);
      // Since when a user is not there whom we took for a member is not known: another room may have come too late.
      const old = this.#rooms.stateEvent(tx, before, memberType, stateKey);
      const hasGone = this.#rooms.membership(tx, room, stateKey as UserId)?.membership !== 'join';
      if (hasGone && old !== 0 && this.#rooms.membershipOf(tx, old) === 'join') this.#mistrust(tx, stateKey as UserId);
    }
  }

  /** Who is in a partial room is not known yet: clients are told of his change when it is. */
  #hold(tx: Tx, userId: UserId): false {
    if (this.#rooms.hasPartialRooms(tx)) tx.run(rows.insertHeld, userId, maxHeld);
    return false;
  }

  /** A room became whole: its members among those who wait are told of. */
  #release(tx: Tx): void {
    for (const { user_id: userId } of tx.all(rows.selectHeld)) {
      if (!this.isShared(tx, userId)) continue;
      tx.run(rows.deleteHeld, userId);
      this.#changes.touch(tx, userId);
    }
  }

  /** A member entry of this user changed. */
  #left(tx: Tx, room: RoomNid, user: UserId): void {
    if (this.#rooms.membership(tx, room, user)?.membership === 'join') return;
    if (!this.#isLocal(user)) {
      if (tx.get(rows.selectList, user) !== undefined && !this.isShared(tx, user)) this.#drop(tx, user);
      return;
    }
    if (this.#rooms.joinedLocalUsers(tx, room, 1).length > 0) return;
    // We are out of this room altogether: whoever is in it may share none with us any more.
    for (const { user_id: other } of tx.all(rows.selectListed)) {
      if (this.#rooms.membership(tx, room, other)?.membership === 'join' && !this.isShared(tx, other))
        this.#drop(tx, other);
    }
  }

  #drop(tx: Tx, userId: UserId): void {
    tx.run(rows.deleteList, userId);
    tx.run(rows.deleteDevices, userId);
    tx.run(rows.deleteSigningKeys, userId);
    tx.touch(`user:${userId}`);
    this.#watcher?.dropped(tx, userId);
  }

  #setSigningKey(tx: Tx, userId: UserId, usage: SharedUsage, key: RemoteSigningKey | undefined): void {
    const old = this.signingKey(tx, userId, usage);
    // Signatures on a key that is gone say nothing about the one that follows.
    if (old !== undefined && old.id !== key?.id) this.#signatures.deleteOn(tx, userId, old.id);
    if (key === undefined) tx.run(rows.deleteSigningKey, userId, usage);
    else tx.run(rows.upsertSigningKey, userId, usage, key.id, JSON.stringify(key.key));
  }
}
