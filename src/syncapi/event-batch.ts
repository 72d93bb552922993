/**
 * What the older event streams tell of a range of Positions: events of the rooms that they cover, the user's invites, and,
 * once those are complete, last values (receipts, typing, presence, account data).
 */
import type { RoomNid } from '../bus/index.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import { type StoredEvent, clientEvent, clientView } from '../roomserver/index.ts';
import { type Position, type Snapshot, asPosition } from '../storage/index.ts';
import { isIgnored } from './event-admission.ts';
import { accountDataEvents, presenceEvent, receiptEvents, typingEvent } from './ephemeral-events.ts';
import { accessRoom } from './room-access.ts';
import { type Asker, type ReadParts, type RoomRead, openRoom, writeEvents } from './room-read.ts';
import type { UserData } from './sources.ts';

export interface BatchParts extends ReadParts {
  readonly userData: Pick<
    UserData,
    | 'ignoredUsers'
    | 'accountData'
    | 'accountDataRooms'
    | 'receipts'
    | 'receiptRooms'
    | 'typing'
    | 'typingRooms'
    | 'presence'
    | 'presenceChanges'
    | 'polled'
  >;
}

export interface Batch {
  /** JSON texts of events. */
  readonly texts: readonly string[];
  /** Everything up to here was told. */
  readonly end: Position;
}

export interface BatchRange {
  readonly snapshot: Snapshot;
  readonly since: Position;
  readonly head: Position;
  /** Of room events. */
  readonly limit: number;
  /** undefined: all rooms in which the user is joined. */
  readonly roomId: string | undefined;
}

interface Found {
  readonly read: RoomRead;
  readonly event: StoredEvent;
  readonly slot: Position;
}

/** Collects the range, or its beginning when it holds more room events than the limit. @throws M_FORBIDDEN */
export async function collectBatch(parts: BatchParts, asker: Asker, range: BatchRange): Promise<Batch> {
  const covered = coveredRooms(parts, asker.userId, range);
  const { found, end } = roomEvents(parts, asker, covered, range);
  const texts = range.roomId === undefined ? invites(parts, asker, range, end) : [];
  for (const { read, event } of found) texts.push(await writeEvents(read, [event]));
  if (end === range.head) texts.push(...lastValues(parts, asker.userId, covered, range));
  return { texts, end };
}

function coveredRooms({ rooms }: BatchParts, user: UserId, { snapshot, head, roomId }: BatchRange): Set<RoomNid> {
  if (roomId === undefined) return new Set(rooms.joinedRooms(snapshot, user));
  return new Set([accessRoom(snapshot, rooms, user, roomId, head).room.nid]);
}

/** Live events that the user may see, in the order of their Positions. */
function roomEvents(
  parts: BatchParts,
  asker: Asker,
  covered: ReadonlySet<RoomNid>,
  { snapshot, since, head, limit, roomId }: BatchRange,
): { readonly found: readonly Found[]; readonly end: Position } {
  const { rooms } = parts;
  const found: Found[] = [];
  let end = head;
  const left = roomId === undefined ? leftRooms(parts, asker.userId, snapshot, since, head) : [];
  for (const nid of [...covered, ...left]) {
    if (rooms.lastPosition(snapshot, nid) <= since) continue;
    const read = openRoom(parts, asker, rooms.roomByNid(snapshot, nid).roomId, snapshot, head);
    const events = rooms.timelineForward(snapshot, nid, since, read.access.upTo, limit);
    const last = events.at(-1)?.place?.slot;
    if (events.length === limit && last !== undefined) end = asPosition(Math.min(end, last));
    for (const event of rooms.visibleTo(snapshot, asker.userId, events)) {
      if (event.place?.live === 1 && !isIgnored(read, event)) found.push({ read, event, slot: event.place.slot });
    }
  }
  found.sort((one, other) => one.slot - other.slot);
  if (found.length > limit) end = asPosition(Math.min(end, found[limit - 1]?.slot ?? end));
  return { found: found.filter(({ slot }) => slot <= end), end };
}

/** Rooms that the user left within the range: the leave itself is still told. */
function leftRooms(
  { rooms }: BatchParts,
  user: UserId,
  snapshot: Snapshot,
  since: Position,
  head: Position,
): RoomNid[] {
  const ended = rooms
    .localMembershipsBetween(snapshot, user, since, head)
    .filter((row) => rooms.localMembershipAt(snapshot, user, row.room, head)?.position === row.position)
    .filter(({ membership, forgotten, outOfBand }) => ['leave', 'ban'].includes(membership) && !forgotten && !outOfBand)
    .filter(({ room }) => rooms.localMembershipAt(snapshot, user, room, since)?.membership === 'join');
  return ended.map(({ room }) => room);
}

/** The user's own invites: he sees the event, though not the room. */
function invites(parts: BatchParts, { userId, deviceId }: Asker, range: BatchRange, end: Position): string[] {
  const { rooms, clock } = parts;
  const view = clientView({ userId, deviceId, now: clock.now() });
  return rooms.localMembershipsBetween(range.snapshot, userId, range.since, end).flatMap((row) => {
    const event = row.membership === 'invite' && row.event !== 0 ? rooms.event(range.snapshot, row.event) : undefined;
    return event === undefined ? [] : [clientEvent(range.snapshot, rooms, event, view)];
  });
}

function lastValues(
  parts: BatchParts,
  user: UserId,
  covered: ReadonlySet<RoomNid>,
  { snapshot, since, head, roomId }: BatchRange,
): string[] {
  const { userData, rooms } = parts;
  const idOf = (nid: RoomNid): RoomId => rooms.roomByNid(snapshot, nid).roomId;
  const among = (nids: readonly RoomNid[]): RoomNid[] => nids.filter((nid) => covered.has(nid));
  const texts: string[] = [];
  for (const nid of among(userData.receiptRooms(snapshot, since, head))) {
    texts.push(...receiptEvents(idOf(nid), userData.receipts(snapshot, nid, user, since, head)));
  }
  for (const nid of among(userData.typingRooms(since))) {
    texts.push(typingEvent(idOf(nid), userData.typing(nid)?.users ?? []));
  }
  for (const other of userData.presenceChanges(since)) {
    const content = seesPresence(parts, snapshot, user, other, covered) ? userData.presence(other) : undefined;
    if (content !== undefined) texts.push(presenceEvent(other, content));
  }
  if (roomId !== undefined) return texts;
  const global = accountDataEvents(userData.accountData(snapshot, user, null, since, head));
  if (global !== '') texts.push(global);
  for (const room of userData.accountDataRooms(snapshot, user, since, head)) {
    texts.push(accountDataEvents(userData.accountData(snapshot, user, room, since, head), room));
  }
  return texts;
}

/** Presence is for who shares one of the rooms that the stream covers. */
const seesPresence = (
  { rooms }: BatchParts,
  snapshot: Snapshot,
  user: UserId,
  other: UserId,
  covered: ReadonlySet<RoomNid>,
): boolean =>
  other === user || [...covered].some((nid) => rooms.membership(snapshot, nid, other)?.membership === 'join');
