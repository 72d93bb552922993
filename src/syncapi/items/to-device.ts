/**
 * `to_device`: messages waiting for the device, oldest first (C-S API v1.19 §Send-to-Device messaging, INVARIANTS 15).
 * They are deleted when a `since` at or behind them comes back.
 */
import type { Entry } from '../../bus/index.ts';
import type { Part, Pass } from '../pass.ts';
import { atOnce, type Item, type Steps } from './item.ts';

/** "Servers should limit the number of messages": what does not fit gets later Positions before the reply leaves. */
const mostPerResponse = 100;

function polylog(pass: Pass): Steps<void> {
  pass.toDevice = true;
  return atOnce(undefined);
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'device.to_device') return false;
  if (entry.user !== pass.user || entry.deviceId !== pass.request.deviceId) return false;
  pass.toDevice = true;
  return true;
}

function read(pass: Pass): Part | undefined {
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

export const toDeviceItem: Item = { path: 'to_device', polylog, linear, compose: (pass) => atOnce(read(pass)) };
