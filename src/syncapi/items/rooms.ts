/** `rooms`: each marked room in the section that the user's membership at `next_batch` puts it in (INVARIANTS 16). */
import type { Entry, RoomNid } from '../../bus/index.ts';
import { admitsRoom } from '../../matrix/filters.ts';
import type { LocalMembership, Room } from '../../roomserver/index.ts';
import { roomMarks, type Compose, type Part, type Pass } from '../pass.ts';
import { composeOutOfBandLeave, composeRoom, composeStripped } from '../room/room-text.ts';
import { joinedView, leftView } from '../room/room-view.ts';
import type { Item } from './item.ts';

type Section = 'join' | 'invite' | 'knock' | 'leave';

const sectionOf = { join: 'join', invite: 'invite', knock: 'knock', leave: 'leave', ban: 'leave' } as const;

function* polylog(pass: Pass): Compose<void> {
  const { rooms, userData } = pass.parts;
  const { snapshot, user, since, head } = pass;
  if (pass.complete) {
    const { includeLeave } = pass.request.filter.room;
    for (const row of rooms.localMemberships(snapshot, user)) {
      pass.know(row);
      const left = sectionOf[row.membership] === 'leave';
      if (!row.forgotten && (!left || includeLeave)) pass.mark(row.room, roomMarks.all);
    }
    if (pass.initial) return;
  }
  for (const room of pass.transitions.keys()) pass.mark(room, roomMarks.changed);
  const follow = (nids: Iterable<RoomNid>, mark: number): void => {
    for (const room of nids) if (pass.follows(room)) pass.mark(room, mark);
  };
  // Collected first: nothing else may be asked of a snapshot while rows are being read from it.
  follow([...rooms.roomsChangedSince(snapshot, since)], roomMarks.changed);
  yield;
  follow(userData.receiptRooms(snapshot, since, head), roomMarks.receipts);
  follow(userData.typingRooms(since), roomMarks.typing);
  for (const roomId of userData.accountDataRooms(snapshot, user, since, head)) {
    const room = rooms.room(snapshot, roomId);
    if (room !== undefined && pass.follows(room.nid)) pass.mark(room.nid, roomMarks.accountData);
  }
}

function linear(pass: Pass, entry: Entry): boolean {
  switch (entry.topic) {
    case 'room.event': {
      const marks = entry.stateChanged ? roomMarks.changed : roomMarks.events;
      return pass.follows(entry.room) && pass.mark(entry.room, marks);
    }
    case 'room.state':
    case 'room.unpartial':
      return pass.follows(entry.room) && pass.mark(entry.room, roomMarks.changed);
    case 'room.membership':
      return entry.user === pass.user && pass.mark(entry.room, roomMarks.changed);
    case 'room.receipt':
      if (entry.receiptType === 'm.read.private' && entry.user !== pass.user) return false;
      return pass.follows(entry.room) && pass.mark(entry.room, roomMarks.receipts);
    case 'room.typing':
      return pass.follows(entry.room) && pass.mark(entry.room, roomMarks.typing);
    case 'user.account_data': {
      if (entry.user !== pass.user || entry.roomId === null) return false;
      const room = pass.parts.rooms.room(pass.snapshot, entry.roomId);
      return room !== undefined && pass.follows(room.nid) && pass.mark(room.nid, roomMarks.accountData);
    }
    // Counts change with an event or with the user's own receipt, and ride along with either.
    case 'user.counts':
    // What a redaction hides is told by the redaction itself, a timeline event.
    case 'room.backfilled':
    case 'event.redacted':
    case 'event.withdrawn':
    // What is deleted is not told: clients keep what they have.
    case 'room.purged':
    case 'user.presence':
    case 'device.to_device':
    case 'user.device_list':
    case 'device.key_counts':
    case 'user.profile':
      return false;
  }
}

function* compose(pass: Pass): Compose<Part | undefined> {
  const sections: Record<Section, string[]> = { join: [], invite: [], knock: [], leave: [] };
  for (const [nid, marks] of pass.rooms) {
    const row = pass.row(nid);
    if (row === undefined || (row.forgotten && !tellsLeave(pass, row))) continue;
    const room = pass.parts.rooms.roomByNid(pass.snapshot, nid);
    if (!admitsRoom(pass.request.filter.room, room.roomId)) continue;
    const text = yield* composeOne(pass, room, row, marks);
    if (text !== undefined) sections[sectionOf[row.membership]].push(`${JSON.stringify(room.roomId)}:${text}`);
    yield;
  }
  const texts: string[] = [];
  for (const [name, rooms] of Object.entries(sections))
    if (rooms.length > 0) texts.push(`"${name}":{${rooms.join(',')}}`);
  return texts.length === 0 ? undefined : { text: `{${texts.join(',')}}`, notable: true };
}

/**
 * "Rooms which have been forgotten will never appear in the response to the /sync API": unless the operator wants that
 * clients which know the user as being there are told that he has left.
 */
const tellsLeave = ({ parts, initial, since }: Pass, { position }: LocalMembership): boolean =>
  parts.forgottenLeaves && !initial && position > since;

function* composeOne(pass: Pass, room: Room, row: LocalMembership, marks: number): Compose<string | undefined> {
  const told = pass.complete || pass.transitions.has(room.nid);
  switch (row.membership) {
    case 'join': {
      // Who wants all members gets the room when they are known, and waits for none.
      const isOmitted =
        !pass.request.filter.room.state.lazyLoadMembers &&
        pass.hasPartialRooms &&
        pass.parts.rooms.isPartial(pass.snapshot, room.nid);
      if (isOmitted) return undefined;
      const part = yield* composeRoom(pass, joinedView(pass, room, row, marks));
      return part.notable ? part.text : undefined;
    }
    case 'invite':
    case 'knock':
      return told ? composeStripped(pass, row) : undefined;
    case 'leave':
    case 'ban': {
      if (row.outOfBand) return told ? composeOutOfBandLeave(pass, row) : undefined;
      const view = leftView(pass, room, row);
      if (view === undefined) return undefined;
      return (yield* composeRoom(pass, view)).text;
    }
  }
}

export const roomsItem: Item = { path: 'rooms', polylog, linear, compose };
