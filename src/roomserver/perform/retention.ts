/**
 * Message retention (MSC1763, `m.room.retention`): a room may say for how long its history is kept; what is older is
 * purged in the background. State stays, and so do the events that the next one will be built on.
 */
import { asInteger, type JsonObject, memberOf } from '../../matrix/json.ts';
import { asPosition, type Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import { currentContent } from '../query/room-auth.ts';
import type { EventNid, Place, RoomNid } from '../types.ts';
import { firstPlaceFrom, type HistoryPurge, purgeHistory, type PurgeParts } from './purge.ts';

/** All times in ms. */
export interface RetentionPolicy {
  /** What rooms ask for counts. */
  readonly honoured: boolean;
  /** For rooms that ask for nothing; undefined: for ever. */
  readonly default: number | undefined;
  /** No room gets less. */
  readonly shortest: number;
  /** No room that asks gets more; undefined: any time. */
  readonly longest: number | undefined;
}

const start = asPosition(0);
const end = asPosition(Number.MAX_SAFE_INTEGER);

/** Purges what has outlived its room's policy. May be stopped, and done again. @param now ms */
export async function applyRetention(
  parts: PurgeParts,
  policy: RetentionPolicy,
  now: number,
  signal?: AbortSignal,
): Promise<void> {
  if (!policy.honoured && policy.default === undefined) return;
  const { db, rooms } = parts;
  const slice = new Slice();
  for (const nid of db.read((snapshot) => rooms.allRooms(snapshot))) {
    if (signal?.aborted === true) return;
    const purge = db.read((snapshot) => duePurge(snapshot, rooms, nid, policy, now));
    if (purge !== undefined) await purgeHistory(parts, purge, signal);
    await slice.tick();
  }
}

/** How long a room's events are kept, in ms; undefined: for ever. */
export function lifetimeIn(content: JsonObject | undefined, policy: RetentionPolicy): number | undefined {
  const asked = policy.honoured ? asInteger(memberOf(content, 'max_lifetime')) : undefined;
  if (asked === undefined || asked < 0) return policy.default;
  return Math.max(policy.shortest, Math.min(asked, policy.longest ?? asked));
}

function duePurge(
  snapshot: Snapshot,
  rooms: PurgeParts['rooms'],
  nid: RoomNid,
  policy: RetentionPolicy,
  now: number,
): HistoryPurge | undefined {
  const room = rooms.roomByNid(snapshot, nid);
  const lifetime = lifetimeIn(currentContent(snapshot, rooms, room, 'm.room.retention'), policy);
  if (lifetime === undefined) return undefined;
  const [first] = rooms.timelineForward(snapshot, nid, start, end, 1);
  if (first === undefined || first.originServerTs >= now - lifetime) return undefined;
  const before = firstPlaceFrom(snapshot, rooms, room, now - lifetime) ?? behindAll(snapshot, rooms, nid);
  return before === undefined ? undefined : { room, before, keepOwn: false };
}

function behindAll(snapshot: Snapshot, rooms: PurgeParts['rooms'], nid: RoomNid): Place | undefined {
  const [last] = rooms.timelineBackward(snapshot, nid, end, start, 1);
  return last?.place === undefined ? undefined : { ...last.place, nid: (last.place.nid + 1) as EventNid };
}
