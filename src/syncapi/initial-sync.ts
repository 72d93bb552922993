/**
 * Snapshots of rooms in one answer: `GET /rooms/{roomId}/initialSync` (C-S API v1.19 §Room Previews) and the deprecated
 * `GET /initialSync` over all of a user's rooms.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { type LocalMembership, type StoredEvent, clientEvent, clientView } from '../roomserver/index.ts';
import type { Snapshot } from '../storage/index.ts';
import { isIgnored } from './event-admission.ts';
import { accountDataEvents, presenceEvent, receiptEvents } from './ephemeral-events.ts';
import { openRoom, readRoom, type Asker, type ReadParts, type RoomRead, writeEvents } from './room-read.ts';
import { readPage } from './page.ts';
import { tokenBefore } from './place-token.ts';
import type { UserData } from './sources.ts';
import { startOfTime } from './token.ts';

export interface InitialSyncParts extends ReadParts {
  readonly userData: Pick<UserData, 'ignoredUsers' | 'accountData' | 'receipts' | 'presence'>;
  /** Whether the room is in the published directory. */
  readonly isPublished: (snapshot: Snapshot, room: RoomNid) => boolean;
}

const limits = { default: 10, max: 1000 };

/** JSON text of one room's snapshot. @throws M_FORBIDDEN */
export function readRoomInitialSync(
  parts: InitialSyncParts,
  asker: Asker,
  { roomId, limit }: { readonly roomId: string; readonly limit: number | undefined },
): Promise<string> {
  return readRoom(parts, asker, roomId, async (read) => {
    const members = read.access.follows ? read.rooms.members(read.snapshot, read.access.room.nid, 'join') : [];
    const users = members.map(({ user }) => user);
    const presence = presenceEvents(parts, users).join(',');
    return `{${await roomMembers(parts, read, limit)},"presence":[${presence}],"receipts":[${receipts(parts, read).join(',')}]}`;
  });
}

/** JSON text of the snapshot of all rooms; `archived`: left rooms too. */
export function readInitialSync(
  parts: InitialSyncParts,
  asker: Asker,
  { limit, archived }: { readonly limit: number | undefined; readonly archived: boolean },
): Promise<string> {
  return parts.db.snapshot(async (snapshot, head) => {
    const { userId, shown } = asker;
    shown.key(`user:${userId}`);
    const rooms: string[] = [];
    const receiptTexts: string[] = [];
    const users = new Set<UserId>([userId]);
    for (const row of parts.rooms.localMemberships(snapshot, userId)) {
      if (row.forgotten || row.position > head) continue;
      if (row.membership === 'invite') rooms.push(invitedRoom(parts, asker, snapshot, row));
      const left = row.membership === 'leave' || row.membership === 'ban';
      if (row.outOfBand || !(row.membership === 'join' || (archived && left))) continue;
      const { roomId } = parts.rooms.roomByNid(snapshot, row.room);
      const read = openRoom(parts, asker, roomId, snapshot, head);
      rooms.push(`{${await roomMembers(parts, read, limit)}}`);
      if (row.membership !== 'join') continue;
      receiptTexts.push(...receipts(parts, read));
      for (const { user } of parts.rooms.members(snapshot, row.room, 'join')) users.add(user);
    }
    const accountData = accountDataEvents(parts.userData.accountData(snapshot, userId, null, startOfTime, head));
    return (
      `{"end":"${head}","rooms":[${rooms.join(',')}],"presence":[${presenceEvents(parts, users).join(',')}],` +
      `"receipts":[${receiptTexts.join(',')}],"account_data":[${accountData}]}`
    );
  });
}

/** An invite that has not been answered: the room is not open to the user yet. */
function invitedRoom(parts: InitialSyncParts, asker: Asker, snapshot: Snapshot, row: LocalMembership): string {
  const { rooms, clock } = parts;
  const { roomId } = rooms.roomByNid(snapshot, row.room);
  const event = row.event === 0 ? undefined : rooms.event(snapshot, row.event);
  const view = clientView({ userId: asker.userId, deviceId: asker.deviceId, now: clock.now() });
  const invite = event === undefined ? '' : `,"invite":${clientEvent(snapshot, rooms, event, view)}`;
  return `{"room_id":${JSON.stringify(roomId)},"membership":"invite"${invite}}`;
}

/** The members of a room's snapshot that both endpoints share. */
async function roomMembers(parts: InitialSyncParts, read: RoomRead, limit: number | undefined): Promise<string> {
  const { snapshot, rooms, access, head, userId } = read;
  const { room, membership, upTo, follows } = access;
  const wanted = Math.min(limit ?? limits.default, limits.max);
  const admits = (event: StoredEvent): boolean => !isIgnored(read, event);
  const page = await readPage(read, { direction: 'b', from: upTo, limit: wanted, admits }, String(upTo));
  const oldest = page.events.at(-1)?.place;
  const start = page.next?.token ?? (oldest === undefined ? String(upTo) : tokenBefore(oldest));
  const chunk = await writeOldEvents(read, page.events.toReversed());
  const state = follows ? rooms.currentSnapshot(snapshot, room.nid) : rooms.snapshotAt(snapshot, room.nid, upTo);
  const events = rooms.stateEntries(snapshot, state).flatMap(({ event }) => rooms.event(snapshot, event) ?? []);
  const stateText = await writeOldEvents(read, events);
  const accountData = accountDataEvents(parts.userData.accountData(snapshot, userId, room.roomId, startOfTime, head));
  const membershipText = membership === undefined ? '' : `"membership":"${membership.membership}",`;
  return (
    `"room_id":${JSON.stringify(room.roomId)},${membershipText}` +
    `"messages":{"chunk":[${chunk}],"start":"${start}","end":"${upTo}"},"state":[${stateText}],` +
    `"visibility":"${parts.isPublished(snapshot, room.nid) ? 'public' : 'private'}","account_data":[${accountData}]`
  );
}

/** Events as they were when these endpoints were made: the sender stands in `user_id` too. */
async function writeOldEvents(read: RoomRead, events: Iterable<StoredEvent>): Promise<string> {
  const texts: string[] = [];
  for (const event of events) {
    texts.push(`{"user_id":${JSON.stringify(event.sender)},${(await writeEvents(read, [event])).slice(1)}`);
  }
  return texts.join(',');
}

/** The room's receipts, for who has not left. */
function receipts({ userData }: InitialSyncParts, { snapshot, access, head, userId }: RoomRead): string[] {
  if (!access.follows) return [];
  const values = userData.receipts(snapshot, access.room.nid, userId, startOfTime, head);
  return receiptEvents(access.room.roomId, values);
}

const presenceEvents = ({ userData }: InitialSyncParts, users: Iterable<UserId>): string[] =>
  [...users].flatMap((user) => {
    const content = userData.presence(user);
    return content === undefined ? [] : [presenceEvent(user, content)];
  });
