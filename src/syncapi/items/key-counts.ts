/**
 * `device_one_time_keys_count` and `device_unused_fallback_key_types` (and its MSC2732 name): always there for a device,
 * since a missing member would say that nothing is left, or that the server knows no fallback keys.
 */
import type { Entry } from '../../bus/index.ts';
import type { Pass } from '../pass.ts';
import type { UserData } from '../sources.ts';
import { atOnce, type Item, type Steps } from './item.ts';

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'device.key_counts') return false;
  if (entry.user !== pass.user || entry.deviceId !== pass.request.deviceId) return false;
  pass.keyCounts = true;
  return true;
}

// The counts are no history: an old token gets the present ones with whatever else there is to tell.
const polylog = (): Steps<void> => atOnce(undefined);

type Inventory = ReturnType<UserData['keyInventory']>;

const item = (path: string, choose: (inventory: Inventory) => unknown): Item => ({
  path,
  polylog,
  linear,
  compose: (pass) => {
    const { deviceId, shown } = pass.request;
    if (deviceId === undefined) return atOnce(undefined);
    shown.key(`user:${pass.user}`);
    return atOnce({ text: JSON.stringify(choose(inventoryOf(pass, deviceId))), notable: pass.keyCounts });
  },
});

const inventories = new WeakMap<Pass, Inventory>();

/** Asked for under three names. */
function inventoryOf(pass: Pass, deviceId: string): Inventory {
  const known = inventories.get(pass);
  if (known !== undefined) return known;
  const inventory = pass.parts.userData.keyInventory(pass.snapshot, pass.user, deviceId);
  inventories.set(pass, inventory);
  return inventory;
}

export const keyCountItems: readonly Item[] = [
  item('device_one_time_keys_count', ({ counts }) => counts),
  item('device_unused_fallback_key_types', ({ unusedFallbacks }) => unusedFallbacks),
  item('org.matrix.msc2732.device_unused_fallback_key_types', ({ unusedFallbacks }) => unusedFallbacks),
];
