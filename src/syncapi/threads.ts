/**
 * `GET /rooms/{roomId}/threads` (C-S API v1.19 §Querying threads in a room): thread roots, the one with the newest event
 * first. The room's thread events are walked backwards; a thread stands at the first one that counts for this user.
 */
import { canonicalJson } from '../matrix/canonical-json.ts';
import type { EventId } from '../matrix/ids.ts';
import { isJsonObject, parseLosslessJson } from '../matrix/json.ts';
import { redactContent } from '../matrix/redaction.ts';
import { type Place, type StoredEvent, contentOf, relationIn } from '../roomserver/index.ts';
import { type Cut, compareCuts, cutBefore, parseCut, tokenBefore } from './place-token.ts';
import { type Asker, type ReadParts, type RoomRead, readRoom, writeEvents } from './room-read.ts';
import { threadEventsBefore } from './thread-events.ts';

export interface ThreadsRequest {
  readonly roomId: string;
  readonly include: 'all' | 'participated';
  readonly limit: number | undefined;
  readonly from: string | undefined;
}

const limits = { default: 20, max: 100 };
const batchSize = 200;

/** JSON text of the response. @throws M_FORBIDDEN, M_INVALID_PARAM */
export function readThreads(parts: ReadParts, asker: Asker, request: ThreadsRequest): Promise<string> {
  return readRoom(parts, asker, request.roomId, async (read) => {
    const from = request.from === undefined ? undefined : parseCut(request.from);
    const limit = Math.min(request.limit ?? limits.default, limits.max);
    const { roots, next } = await findThreads(read, from, limit, request.include);
    const chunk = await writeEvents(read, roots);
    return `{"chunk":[${chunk}]${next === undefined ? '' : `,"next_batch":"${next}"`}}`;
  });
}

async function findThreads(
  read: RoomRead,
  from: Cut | undefined,
  limit: number,
  include: ThreadsRequest['include'],
): Promise<{ readonly roots: readonly StoredEvent[]; readonly next: string | undefined }> {
  const roots: StoredEvent[] = [];
  const met = new Set<string>();
  let last: Place | undefined;
  let upTo: Cut = from ?? read.access.upTo;
  for (;;) {
    const batch = threadEventsBefore(read.snapshot, read.access.room.nid, upTo, batchSize);
    for (const row of batch) {
      await read.slice.tick();
      if (met.has(row.root) || !counts(read, read.rooms.event(read.snapshot, row.nid))) continue;
      met.add(row.root);
      const root =
        from !== undefined && isShownBefore(read, row.root, from) ? undefined : rootOf(read, row.root, include);
      if (root === undefined) continue;
      if (roots.length === limit) return { roots, next: last && tokenBefore(last) };
      roots.push(root);
      last = row;
    }
    const oldest = batch.at(-1);
    if (batch.length < batchSize || oldest === undefined) return { roots, next: undefined };
    upTo = cutBefore(oldest);
  }
}

/** Whether an event of a thread exists for this user: "sent by an un-ignored user", not redacted, visible. */
function counts({ snapshot, rooms, userId, ignored }: RoomRead, event: StoredEvent | undefined): event is StoredEvent {
  return (
    event !== undefined &&
    event.redactedBy === 0 &&
    (event.sender === userId || !ignored.has(event.sender)) &&
    rooms.mayView(snapshot, userId, event)
  );
}

/** The thread's newest event lies behind the token: it was on an earlier page. */
function isShownBefore(read: RoomRead, root: EventId, from: Cut): boolean {
  const { snapshot, rooms, access } = read;
  for (const nid of rooms.relatingEvents(snapshot, access.room.nid, root, 'm.thread', undefined)) {
    const event = rooms.event(snapshot, nid);
    if (event?.place === undefined || !counts(read, event)) continue;
    return compareCuts(event.place, from) > 0;
  }
  return false;
}

/** The root as the user gets it; undefined: it is no thread's root, or not for him. */
function rootOf(read: RoomRead, root: EventId, include: ThreadsRequest['include']): StoredEvent | undefined {
  const { snapshot, rooms, userId, access } = read;
  const event = rooms.eventById(snapshot, root);
  if (event === undefined || event.room !== access.room.nid || !rooms.mayView(snapshot, userId, event))
    return undefined;
  // Threads do not nest: an event with a relation is no thread root.
  if (relationIn(contentOf(event)) !== undefined) return undefined;
  if (include === 'participated' && !hasParticipated(read, event)) return undefined;
  // "If the thread root event was sent by an ignored user, the event is returned redacted to the caller."
  return event.sender !== userId && read.ignored.has(event.sender) ? redacted(read, event) : event;
}

function hasParticipated({ snapshot, rooms, userId, access }: RoomRead, root: StoredEvent): boolean {
  if (root.sender === userId) return true;
  const children = rooms.relatingEvents(snapshot, access.room.nid, root.eventId, 'm.thread', undefined);
  return children.some((nid) => {
    const child = rooms.event(snapshot, nid);
    return child?.sender === userId && child.redactedBy === 0;
  });
}

function redacted({ access }: RoomRead, event: StoredEvent): StoredEvent {
  const parsed = parseLosslessJson(event.client);
  if (!isJsonObject(parsed) || !isJsonObject(parsed.content)) return event;
  const content = redactContent(event.type, parsed.content, access.room.rules.redaction);
  return { ...event, client: canonicalJson({ ...parsed, content }, { lenient: true }) };
}
