/** Finding and composing over all items: the two ways to find, and the one way to write. */
import type { Bus, Topic } from '../bus/index.ts';
import { accountDataItem } from './items/account-data.ts';
import { deviceListsItem } from './items/device-lists.ts';
import type { Item } from './items/item.ts';
import { keyCountItems } from './items/key-counts.ts';
import { presenceItem } from './items/presence.ts';
import { roomsItem } from './items/rooms.ts';
import { toDeviceItem } from './items/to-device.ts';
import type { Compose, Pass } from './pass.ts';
import { formatSyncToken } from './token.ts';

/** Every item at its place in the response. */
const items: readonly Item[] = [
  roomsItem,
  accountDataItem,
  presenceItem,
  toDeviceItem,
  deviceListsItem,
  ...keyCountItems,
];

/** Who is asked about an entry; a new topic breaks the build until it stands here. */
const askedAbout: Readonly<Record<Topic, readonly Item[]>> = {
  'room.event': [roomsItem],
  'room.state': [roomsItem],
  'room.unpartial': [roomsItem],
  'room.membership': [roomsItem],
  'room.receipt': [roomsItem],
  'room.typing': [roomsItem],
  'user.account_data': [roomsItem, accountDataItem],
  'user.presence': [presenceItem],
  'device.to_device': [toDeviceItem],
  'user.device_list': [deviceListsItem],
  'device.key_counts': keyCountItems,
  'user.counts': [],
  'room.backfilled': [],
  'event.redacted': [],
  'event.withdrawn': [],
  'room.purged': [],
  'user.profile': [],
};

/**
 * Linear: walks the log once and marks what concerns this user. Gives how many entries do; undefined when the tail does
 * not reach back so far, or more than `most` do: then nothing said here counts.
 */
export function walk(pass: Pass, bus: Bus, most: number): number | undefined {
  const entries = bus.between(pass.since, pass.head);
  if (entries === undefined) return undefined;
  let concerned = 0;
  for (const { entry } of entries) {
    let mine = false;
    for (const item of askedAbout[entry.topic]) mine = item.linear(pass, entry) || mine;
    if (!mine) continue;
    concerned += 1;
    if (concerned > most) return undefined;
  }
  return concerned;
}

/** Polylog: marks by look-ups what may have changed. */
export function* find(pass: Pass): Compose<void> {
  for (const item of items) yield* item.polylog(pass);
}

export interface Composed {
  /** JSON text of the response, in pieces. */
  readonly chunks: readonly string[];
  /** There is something to tell. */
  readonly notable: boolean;
}

/** Writes the response from what is marked. */
export function* compose(pass: Pass): Compose<Composed> {
  const chunks: string[] = [`{"next_batch":"${formatSyncToken(pass.head)}"`];
  let notable = false;
  for (const item of items) {
    const part = yield* item.compose(pass);
    if (part === undefined) continue;
    chunks.push(`,"${item.path}":`, part.text);
    notable ||= part.notable;
  }
  chunks.push('}');
  return { chunks, notable };
}
