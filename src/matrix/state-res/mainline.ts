/**
 * Mainline ordering (room versions §State resolution, Definitions): events are put behind the power levels that they
 * were sent under, along the chain of power levels that led to the resolved ones.
 */
import { type AuthRecord, type ResolutionSource, type Sliced, sliceLength } from './source.ts';
import { citedPowerLevels } from './topo-sort.ts';

/** Where an event stands that was sent under none of the mainline's power levels: before all others. */
const beforeMainline = Infinity;

/** Sorts events by mainline ordering based on `powerLevels` (undefined: an empty mainline). */
export function* sortByMainline(
  records: readonly AuthRecord[],
  powerLevels: AuthRecord | undefined,
  source: ResolutionSource,
): Sliced<AuthRecord[]> {
  // Position of every power levels event met so far: 0 is the newest of the mainline.
  const positions = new Map<number, number>();
  for (let link = powerLevels; link !== undefined && !positions.has(link.nid); link = citedPowerLevels(link, source)) {
    positions.set(link.nid, positions.size);
  }
  const placed: { readonly record: AuthRecord; readonly position: number }[] = [];
  for (const record of records) {
    placed.push({ record, position: positionOf(citedPowerLevels(record, source), positions, source) });
    if (placed.length % sliceLength === 0) yield;
  }
  placed.sort((a, b) => {
    // Older power levels first, then the earlier timestamp, then the lower event id.
    if (a.position !== b.position) return a.position > b.position ? -1 : 1;
    if (a.record.originServerTs !== b.record.originServerTs) return a.record.originServerTs - b.record.originServerTs;
    return a.record.eventId < b.record.eventId ? -1 : 1;
  });
  return placed.map(({ record }) => record);
}

/** Follows the power levels back to the mainline and remembers the answer for all that were passed. */
function positionOf(from: AuthRecord | undefined, positions: Map<number, number>, source: ResolutionSource): number {
  const passed: number[] = [];
  let link = from;
  while (link !== undefined && !positions.has(link.nid)) {
    passed.push(link.nid);
    link = citedPowerLevels(link, source);
  }
  const position = (link && positions.get(link.nid)) ?? beforeMainline;
  for (const nid of passed) positions.set(nid, position);
  return position;
}
