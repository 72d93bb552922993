/**
 * `device_one_time_keys_count` and `device_unused_fallback_key_types` (and its MSC2732 name): always there for a device,
 * since a missing member would say that nothing is left, or that the server knows no fallback keys.
 */
import type { Entry } from '../../bus/index.ts';
import type { Pass } from '../pass.ts';
import { atOnce, type Item, type Steps } from './item.ts';

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'device.key_counts') return false;
  if (entry.user !== pass.user || entry.deviceId !== pass.request.deviceId) return false;
  pass.keyCounts = true;
  return true;
}

// The counts are no history: an old token gets the present ones with whatever else there is to tell.
const polylog = (): Steps<void> => atOnce(undefined);

const item = (path: string, read: (pass: Pass, deviceId: string) => unknown): Item => ({
  path,
  polylog,
  linear,
  compose: (pass) => {
    const { deviceId, shown } = pass.request;
    if (deviceId === undefined) return atOnce(undefined);
    shown.key(`user:${pass.user}`);
    return atOnce({ text: JSON.stringify(read(pass, deviceId)), notable: pass.keyCounts });
  },
});

const computed = new WeakMap<Pass, readonly string[]>();

/** Asked for under two names. */
function fallback(pass: Pass, deviceId: string): readonly string[] {
  const types = computed.get(pass) ?? pass.parts.userData.unusedFallbackKeyTypes(pass.snapshot, pass.user, deviceId);
  computed.set(pass, types);
  return types;
}

export const keyCountItems: readonly Item[] = [
  item('device_one_time_keys_count', (pass, deviceId) =>
    pass.parts.userData.oneTimeKeyCounts(pass.snapshot, pass.user, deviceId),
  ),
  item('device_unused_fallback_key_types', fallback),
  item('org.matrix.msc2732.device_unused_fallback_key_types', fallback),
];
