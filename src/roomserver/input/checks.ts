/**
 * The judging phases (S-S API v1.19 §Checks performed on receipt of a PDU, 4 to 6): by the event's own auth events, by
 * the state before it, by the current state. The first two reject, the last one soft-fails.
 */
import { type CitedEvent, authStateOf, authorise, checkAuthEvents } from '../../matrix/event-auth.ts';
import { maxIdBytes } from '../../matrix/ids.ts';
import type { AuthEvent } from '../../matrix/auth-types.ts';
import type { Snapshot } from '../../storage/index.ts';
import { fitsBytes } from '../../util/bytes.ts';
import { flag } from '../storage/event-rows.ts';
import { type Stores, authStateAt, currentAuthState } from '../stores.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import type { EventNid, Room, SnapshotNid } from '../types.ts';
import { partialAuthState } from '../partial/auth-state.ts';
import type { Resolver } from '../state/resolve.ts';
import type { Phase } from './job.ts';

/** A cited event as check 4 reads it. */
export const citedEvent = (stores: Stores, snapshot: Snapshot, { rules }: Room, nid: EventNid): CitedEvent => ({
  event: stores.events.forAuth(snapshot, nid, rules),
  rejected: (stores.events.knownMeta(snapshot, nid).flags & flag.rejected) !== 0,
});

/** Check 4: the reason for which an event fails by its auth events, undefined when it passes. */
export function failureByAuthEvents(
  stores: Stores,
  snapshot: Snapshot,
  room: Room,
  event: RoomEvent,
  auth: readonly EventNid[],
): string | undefined {
  const cited = auth.map((nid) => citedEvent(stores, snapshot, room, nid));
  const create = stores.rooms.head(snapshot, room.nid).create_event;
  const implied =
    room.rules.roomIdIsCreateHash && create > 0 ? stores.events.forAuth(snapshot, create, room.rules) : undefined;
  return failureByCited(event, cited, implied, room.rules);
}

/** The same for events at hand; `create`: from version 12 on, where the room id stands for it and no event cites it. */
export function failureByCited(
  event: RoomEvent,
  cited: readonly CitedEvent[],
  create: AuthEvent | undefined,
  rules: RoomVersionRules,
): string | undefined {
  // "state_key MUST NOT exceed 255 bytes", in versions too where other servers count code points and build on it.
  if (!fitsBytes(event.type, maxIdBytes) || !fitsBytes(event.stateKey ?? '', maxIdBytes))
    return 'its type or state key exceeds 255 bytes';
  const citation = checkAuthEvents(event, cited, rules);
  if (!citation.allowed) return citation.reason;
  const events: AuthEvent[] = cited.map((entry) => entry.event);
  if (create !== undefined) events.push(create);
  const verdict = authorise(event, authStateOf(events), rules);
  return verdict.allowed ? undefined : verdict.reason;
}

/** What check 5 judges an event by. */
export interface StateBefore {
  readonly before: SnapshotNid;
  /** It lacks members. */
  readonly partial: boolean;
  /** The event's auth events. */
  readonly auth: readonly EventNid[];
}

/** Check 5: the reason for which an event fails by the state before it. */
export function failureByState(
  stores: Stores,
  resolver: Resolver,
  snapshot: Snapshot,
  room: Room,
  event: RoomEvent,
  { before, partial, auth }: StateBefore,
): string | undefined {
  const state = partial
    ? partialAuthState(stores, resolver, snapshot, room, event, before, auth)
    : authStateAt(stores, snapshot, room, before);
  const verdict = authorise(event, state, room.rules);
  return verdict.allowed ? undefined : verdict.reason;
}

export const checkByAuthEvents: Phase = (tx, job, tools) => {
  const create = job.citedOnce.impliedCreate(tx, tools, job.room);
  const reason = failureByCited(job.event, job.cited, create, job.room.rules);
  if (reason !== undefined) job.failure = { flag: flag.rejected, reason };
  return undefined;
};

export const checkByStateBefore: Phase = (tx, job, { stores, resolver }) => {
  if (job.failure !== undefined || job.kind === 'outlier') return undefined;
  const reason = failureByState(stores, resolver, tx, job.room, job.event, job);
  if (reason !== undefined) job.failure = { flag: flag.rejected, reason };
  return undefined;
};

/** Check 7; what an event's own auth events and states forbid is said first. */
export const checkRecommended: Phase = (_tx, job) => {
  if (job.failure !== undefined || job.kind !== 'live' || job.notRecommended === undefined) return undefined;
  job.failure = { flag: flag.softFailed, reason: job.notRecommended };
  return undefined;
};

export const checkByCurrentState: Phase = (tx, job, { stores }) => {
  if (job.failure !== undefined || job.kind !== 'live' || job.replacesRoom) return undefined;
  const current = stores.rooms.head(tx, job.room.nid).snapshot;
  // The same state cannot judge otherwise; and while only outliers are known there is no current state to ask.
  if (current === job.before || current === 0) return undefined;
  // A state without its members soft-fails nobody; the resync does.
  if (stores.partial.get(tx, job.room.nid) !== undefined) return undefined;
  const verdict = authorise(job.event, currentAuthState(stores, tx, job.room), job.room.rules);
  if (!verdict.allowed) job.failure = { flag: flag.softFailed, reason: verdict.reason };
  return undefined;
};
