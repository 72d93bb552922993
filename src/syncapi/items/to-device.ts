/**
 * `to_device`: messages waiting for the device, oldest first (C-S API v1.19 §Send-to-Device messaging, INVARIANTS 15).
 * They are deleted when a `since` at or behind them comes back.
 */
import type { Entry } from '../../bus/index.ts';
import type { Compose, Part, Pass } from '../pass.ts';
import type { Item } from './item.ts';

/** "Servers should limit the number of messages": what does not fit gets later Positions before the reply leaves. */
const mostPerResponse = 100;

// eslint-disable-next-line require-yield
function* polylog(pass: Pass): Compose<void> {
  pass.toDevice = true;
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'device.to_device') return false;
  if (entry.user !== pass.user || entry.deviceId !== pass.request.deviceId) return false;
  pass.toDevice = true;
  return true;
}

// eslint-disable-next-line require-yield
function* compose(pass: Pass): Compose<Part | undefined> {
  const { deviceId, shown } = pass.request;
  if (!pass.toDevice || deviceId === undefined) return undefined;
  const { userData } = pass.parts;
  const limit = mostPerResponse + 1;
  const waiting = userData.toDevice(pass.snapshot, pass.user, deviceId, pass.since, pass.head, limit);
  if (waiting.length === 0) return undefined;
  const carried = waiting.slice(0, mostPerResponse);
  const last = carried.at(-1);
  if (last !== undefined) shown.position(last.position);
  if (last !== undefined && waiting.length > mostPerResponse) {
    pass.beforeReply = () => userData.postponeToDevice(pass.user, deviceId, last.position);
  }
  return { text: `{"events":[${carried.map(({ message }) => message).join(',')}]}`, notable: true };
}

export const toDeviceItem: Item = { path: 'to_device', polylog, linear, compose };
