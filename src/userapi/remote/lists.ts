/**
 * Device lists of remote users who share a room with a local one (S-S API v1.19 §Device Management), as far as they need
 * no network: what is known, and which updates follow on each other. `list-fetcher.ts` fetches what is missing,
 * `list-follower.ts` lets go of a list with the last shared room.
 */
import { serverNameOf, type UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { RoomReader } from '../../roomserver/index.ts';
import type { Snapshot, Tx } from '../../storage/index.ts';
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

/** How many updates since the last fetch are remembered. */
const maxSeen = 100;
/** How many users' changes are held while rooms are partial. */
const maxHeld = 20_000;

const hasKeys = ({ devices, signingKeys }: RemoteUserKeys): boolean =>
  Object.keys(signingKeys).length > 0 || devices.some(({ keys }) => keys !== undefined);

export class RemoteLists {
  readonly #rooms: RoomReader;
  readonly #changes: DeviceLists;
  readonly #signatures: Signatures;
  #watcher: ListWatcher | undefined;

  constructor(parts: { readonly rooms: RoomReader; readonly changes: DeviceLists; readonly signatures: Signatures }) {
    this.#rooms = parts.rooms;
    this.#changes = parts.changes;
    this.#signatures = parts.signatures;
  }

  watch(watcher: ListWatcher): void {
    this.#watcher = watcher;
  }

  /** Whether a local user is joined to a room with this remote one. */
  isShared(snapshot: Snapshot, userId: UserId): boolean {
    const rooms = this.#rooms.joinedRooms(snapshot, userId);
    return rooms.some((room) => this.#rooms.joinedLocalUsers(snapshot, room, 1).length > 0);
  }

  /** Users of whom anything is known, or wanted. */
  listed(snapshot: Snapshot): UserId[] {
    return snapshot.all(rows.selectListed).map(({ user_id: user }) => user);
  }

  isListed(snapshot: Snapshot, userId: UserId): boolean {
    return snapshot.get(rows.selectList, userId) !== undefined;
  }

  isEmpty(snapshot: Snapshot): boolean {
    return snapshot.get(rows.selectAny) === undefined;
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
      if (row !== undefined) this.drop(tx, userId);
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

  /** Updates of a list may have been missed. */
  mistrust(tx: Tx, user: UserId): void {
    if (!this.isFresh(tx, user) || !this.isShared(tx, user)) return;
    this.want(tx, user, true);
    this.#watcher?.updated(tx, user, 0);
  }

  /** Who is in a partial room is not known yet: clients are told of his change when it is. */
  #hold(tx: Tx, userId: UserId): false {
    if (this.#rooms.hasPartialRooms(tx)) tx.run(rows.insertHeld, userId, maxHeld);
    return false;
  }

  /** A room became whole: its members among those who wait are told of. */
  release(tx: Tx): void {
    for (const { user_id: userId } of tx.all(rows.selectHeld)) {
      if (!this.isShared(tx, userId)) continue;
      tx.run(rows.deleteHeld, userId);
      this.#changes.touch(tx, userId);
    }
  }

  /** The last shared room with a user has ended: nothing is known of him any more. */
  drop(tx: Tx, userId: UserId): void {
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
