/**
 * Which member events each device was sent under lazy loading (C-S API v1.19 §Lazy-loading room members). Each is kept
 * with the `next_batch` that carried it and counts only for a `since` at or after that token: a client that lost the
 * reply asks again from before it, and what had been sent since is forgotten. Bounded; losing it only sends members again.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Position } from '../storage/index.ts';

export interface SentMember {
  readonly room: RoomNid;
  readonly user: string;
  readonly event: number;
}

interface Sent {
  readonly event: number;
  readonly token: Position;
}

interface DeviceMembers {
  readonly members: Map<string, Sent>;
  lastToken: number;
}

const keyOf = (room: RoomNid, user: string): string => `${room} ${user}`;

export class LazyMembers {
  /** Least recently used first. */
  readonly #devices = new Map<string, DeviceMembers>();
  readonly #maxMembers: number;
  #total = 0;

  constructor(maxMembers = 200_000) {
    this.#maxMembers = maxMembers;
  }

  /** Number of members remembered, all devices together. */
  get size(): number {
    return this.#total;
  }

  /** A request with this `since` has come: what went out in later responses never arrived. */
  rewind(user: UserId, deviceId: string, since: Position): void {
    const device = this.#devices.get(`${user} ${deviceId}`);
    if (device === undefined || device.lastToken <= since) return;
    for (const [key, sent] of device.members) {
      if (sent.token <= since) continue;
      device.members.delete(key);
      this.#total -= 1;
    }
    device.lastToken = since;
  }

  /** Whether the device has this very member event. */
  knows(user: UserId, deviceId: string, { room, user: member, event }: SentMember): boolean {
    return this.#devices.get(`${user} ${deviceId}`)?.members.get(keyOf(room, member))?.event === event;
  }

  /** The response with the next_batch `token` carries these members. */
  add(user: UserId, deviceId: string, sent: readonly SentMember[], token: Position): void {
    if (sent.length === 0) return;
    const name = `${user} ${deviceId}`;
    const device = this.#devices.get(name) ?? { members: new Map<string, Sent>(), lastToken: 0 };
    this.#devices.delete(name);
    this.#devices.set(name, device);
    device.lastToken = Math.max(device.lastToken, token);
    for (const { room, user: member, event } of sent) {
      const key = keyOf(room, member);
      if (device.members.get(key)?.event === event) continue;
      if (!device.members.has(key)) this.#total += 1;
      device.members.set(key, { event, token });
    }
    this.#shrink();
  }

  #shrink(): void {
    for (const [name, device] of this.#devices) {
      if (this.#total <= this.#maxMembers) return;
      this.#total -= device.members.size;
      this.#devices.delete(name);
    }
  }
}
