/**
 * What is known of one user's presence, and what others see of it (C-S API v1.19 §Presence). Nothing here has a clock:
 * `now` is ms.
 */
import type { Position } from '../storage/index.ts';

export type PresenceState = 'online' | 'unavailable' | 'offline';

/** Content of an `m.presence` event. */
export interface PresenceContent {
  readonly presence: PresenceState;
  /** ms */
  readonly last_active_ago?: number;
  readonly currently_active?: boolean;
  readonly status_msg?: string;
}

interface Device {
  state: PresenceState;
  /** ms; when it was last heard of. */
  heardAt: number;
  /** Requests that it waits for: it is there as long as one is open. */
  polls: number;
}

interface Told {
  readonly state: PresenceState;
  readonly currentlyActive: boolean;
  /** ms */
  readonly heardAt: number;
}

export interface UserPresence {
  /** Of a user of another server: its last word. He has no devices here. */
  told: Told | undefined;
  readonly devices: Map<string, Device>;
  state: PresenceState;
  statusMsg: string | undefined;
  /** ms; 0: never. */
  lastActiveAt: number;
  currentlyActive: boolean;
  position: Position;
}

/** ms without activity after which a user is idle (§Idle timeout), and no longer currently active. */
const idleAfter = 300_000;
const activeFor = 60_000;
/** ms after its last request until a device counts as gone. */
const goneAfter = 30_000;
/** ms without a word of his server after which a remote user counts as gone. */
const remoteGoneAfter = 1_800_000;
const rank: Readonly<Record<PresenceState, number>> = { offline: 0, unavailable: 1, online: 2 };

/** Somebody never heard of. */
export const unknownUser = (): UserPresence => ({
  told: undefined,
  devices: new Map(),
  state: 'offline',
  statusMsg: undefined,
  lastActiveAt: 0,
  currentlyActive: false,
  position: 0 as Position,
});

/** The user's device of this id, made when there is none; undefined names the one of requests without a device. */
export function deviceOf(user: UserPresence, deviceId: string | undefined): Device {
  const id = deviceId ?? '';
  let device = user.devices.get(id);
  if (device === undefined) {
    device = { state: 'offline', heardAt: 0, polls: 0 };
    user.devices.set(id, device);
  }
  return device;
}

/** The device that was heard of last. */
export const latestDevice = ({ devices }: UserPresence): Device | undefined =>
  [...devices.values()].reduce<Device | undefined>(
    (best, device) => (best === undefined || device.heardAt > best.heardAt ? device : best),
    undefined,
  );

/** What others are to see of the user at a time; devices that are gone by then are dropped. */
export const seenOf = (user: UserPresence, now: number): Seen =>
  user.told === undefined ? seenByDevices(user, now) : seenByWord(user.told, now);

type Seen = Pick<UserPresence, 'state' | 'currentlyActive'>;

function seenByDevices(user: UserPresence, now: number): Seen {
  let state: PresenceState = 'offline';
  for (const [id, device] of user.devices) {
    if (device.polls === 0 && device.heardAt + goneAfter <= now) user.devices.delete(id);
    else if (rank[device.state] > rank[state]) state = device.state;
  }
  if (state === 'online' && user.lastActiveAt + idleAfter <= now) state = 'unavailable';
  return { state, currentlyActive: state === 'online' && user.lastActiveAt + activeFor > now };
}

function seenByWord({ state, currentlyActive, heardAt }: Told, now: number): Seen {
  if (heardAt + remoteGoneAfter <= now) return { state: 'offline', currentlyActive: false };
  return { state, currentlyActive };
}

/** The content of an `m.presence` event at a time. */
export const contentOf = (
  { state, statusMsg, lastActiveAt, currentlyActive }: UserPresence,
  now: number,
): PresenceContent => ({
  presence: state,
  ...(lastActiveAt > 0 ? { last_active_ago: Math.max(0, now - lastActiveAt) } : {}),
  ...(state === 'online' ? { currently_active: currentlyActive } : {}),
  ...(statusMsg === undefined ? {} : { status_msg: statusMsg }),
});
