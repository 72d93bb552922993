/**
 * Power events and the reverse topological power ordering (room versions §State resolution, Definitions): an event
 * comes behind its auth events; where that leaves a choice, the higher sender goes first, then the earlier timestamp,
 * then the lower event id.
 */
import { powerLevelOf, powerLevelsFrom } from '../auth-power-levels.ts';
import type { AuthEvent } from '../auth-types.ts';
import type { RoomVersionRules } from '../room-versions.ts';
import { Heap } from './heap.ts';
import { type AuthRecord, type ResolutionSource, type Sliced, sliceLength } from './source.ts';
import type { EventViews } from './working-state.ts';

/** Events that can take something away: power levels, join rules, kicks and bans. */
export function isPowerEvent({ type, stateKey, membership, sender }: AuthRecord): boolean {
  if (type === 'm.room.power_levels' || type === 'm.room.join_rules') return stateKey === '';
  return type === 'm.room.member' && (membership === 'leave' || membership === 'ban') && sender !== stateKey;
}

/** The power levels event that an event cites. */
export function citedPowerLevels(record: AuthRecord, source: ResolutionSource): AuthRecord | undefined {
  for (let at = 0; at < record.authNids.length; at++) {
    const cited = source.record(record.authNids[at] ?? 0);
    if (cited?.type === 'm.room.power_levels' && cited.stateKey === '') return cited;
  }
  return undefined;
}

/**
 * The power events of `full` and those events of it that lead up to them, walking from one event of the set to the next.
 */
export function withAuthChains(full: ReadonlySet<number>, source: ResolutionSource): Set<number> {
  const chosen = new Set<number>();
  const stack: number[] = [];
  for (const nid of full) {
    const record = source.record(nid);
    if (record !== undefined && isPowerEvent(record)) {
      chosen.add(nid);
      stack.push(nid);
    }
  }
  for (let nid = stack.pop(); nid !== undefined; nid = stack.pop()) {
    const authNids = source.record(nid)?.authNids ?? [];
    for (let at = 0; at < authNids.length; at++) {
      const authNid = authNids[at] ?? 0;
      if (!full.has(authNid) || chosen.has(authNid)) continue;
      chosen.add(authNid);
      stack.push(authNid);
    }
  }
  return chosen;
}

interface Vertex {
  readonly record: AuthRecord;
  readonly power: number;
  /** Auth events in the set that have not been placed yet. */
  open: number;
  readonly dependents: Vertex[];
}

const precedes = (a: Vertex, b: Vertex): boolean => {
  if (a.power !== b.power) return a.power > b.power;
  if (a.record.originServerTs !== b.record.originServerTs) return a.record.originServerTs < b.record.originServerTs;
  return a.record.eventId < b.record.eventId;
};

/** Sorts a set of events by reverse topological power ordering, with Kahn's algorithm. */
export function* sortByPower(
  nids: ReadonlySet<number>,
  source: ResolutionSource,
  views: EventViews,
  rules: RoomVersionRules,
): Sliced<AuthRecord[]> {
  const vertices = new Map<number, Vertex>();
  for (const nid of nids) {
    const record = source.record(nid);
    if (record === undefined) continue;
    vertices.set(nid, { record, power: senderPower(record, source, views, rules), open: 0, dependents: [] });
    if (vertices.size % sliceLength === 0) yield;
  }
  const ready = new Heap<Vertex>(precedes);
  for (const vertex of vertices.values()) {
    // The same event may be cited twice.
    for (const authNid of new Set(Array.from(vertex.record.authNids))) {
      const cited = vertices.get(authNid);
      if (cited === undefined) continue;
      cited.dependents.push(vertex);
      vertex.open++;
    }
    if (vertex.open === 0) ready.push(vertex);
  }
  const sorted: AuthRecord[] = [];
  for (let vertex = ready.pop(); vertex !== undefined; vertex = ready.pop()) {
    sorted.push(vertex.record);
    for (const dependent of vertex.dependents) if (--dependent.open === 0) ready.push(dependent);
    if (sorted.length % sliceLength === 0) yield;
  }
  return sorted;
}

/** The sender's level by the event's own auth events. */
function senderPower(record: AuthRecord, source: ResolutionSource, views: EventViews, rules: RoomVersionRules): number {
  const powerLevels = citedPowerLevels(record, source);
  const create = citedCreate(record, source, views, rules);
  return powerLevelOf(record.sender, powerLevelsFrom(create, powerLevels && views.of(powerLevels), rules));
}

function citedCreate(
  record: AuthRecord,
  source: ResolutionSource,
  views: EventViews,
  rules: RoomVersionRules,
): AuthEvent | undefined {
  if (rules.roomIdIsCreateHash) {
    const create = source.record(source.createNid);
    return create && views.of(create);
  }
  for (let at = 0; at < record.authNids.length; at++) {
    const cited = source.record(record.authNids[at] ?? 0);
    if (cited?.type === 'm.room.create') return views.of(cited);
  }
  return undefined;
}
