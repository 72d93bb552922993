/**
 * With whom a user began and ended to share rooms in a range (INVARIANTS 19), from the differences of the rooms' member
 * lists and the user's own transitions. /sync, /keys/changes and new people's presence all ask this one function.
 */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { EventNid, RoomReader, StateChange } from '../roomserver/index.ts';
import { asPosition, type Position, type Snapshot } from '../storage/index.ts';
import { isPause } from './items/item.ts';
import type { Compose } from './pass.ts';

export interface SharingChanges {
  /** Share a room now, and did not at the start of the range, or stopped and began again within it. */
  readonly began: ReadonlySet<UserId>;
  /** Shared a room at the start, and share none now. */
  readonly ended: ReadonlySet<UserId>;
  /** Share a room now that they did not share, or not all the time: those of `began` and more. */
  readonly met: ReadonlySet<UserId>;
  /** The user came into a room with people of `began`: his other devices send to them from now on. */
  readonly entered: boolean;
  /** Were invited to a room of the user's and share none with him yet: he may want to send them keys before they join. */
  readonly invited: ReadonlySet<UserId>;
}

export interface SharingRange {
  readonly snapshot: Snapshot;
  readonly rooms: RoomReader;
  readonly user: UserId;
  readonly since: Position;
  /** The sequence head of the snapshot. */
  readonly head: Position;
  /** The rooms whose state changed in the range and that the user is, or was then, in; more do no harm. */
  readonly changed: Iterable<RoomNid>;
}

/** What the changed rooms say of one other user. */
interface Tally {
  /** Shared one of them at the start. */
  before: boolean;
  again: boolean;
  /** Shares one of them now, and did not, or not all the time. */
  met: boolean;
  /** Was invited to one of them. */
  invited: boolean;
  /** Rooms in which sharing with him is not as it was. */
  readonly rooms: Set<RoomNid>;
}

const memberType = 'm.room.member';

export function* sharingChanges(range: SharingRange): Compose<SharingChanges> {
  const tallies = new Map<UserId, Tally>();
  const entered = new Set<RoomNid>();
  for (const room of range.changed) {
    if (yield* tallyRoom(range, room, tallies)) entered.add(room);
    yield;
  }
  const began = new Set<UserId>();
  const ended = new Set<UserId>();
  const met = new Set<UserId>();
  const invited = new Set<UserId>();
  let meets = false;
  let step = 0;
  for (const [other, tally] of tallies) {
    if (tally.met) met.add(other);
    const shared = range.rooms.sharedRooms(range.snapshot, range.user, other);
    // A shared room in which nothing changed was shared before as well.
    const before = tally.before || shared.some((room) => !tally.rooms.has(room));
    if (shared.length > 0 && (!before || tally.again)) {
      began.add(other);
      meets ||= shared.some((room) => entered.has(room));
    } else if (shared.length === 0 && before) ended.add(other);
    if (shared.length === 0 && tally.invited) invited.add(other);
    if (isPause(step++)) yield;
  }
  return { began, ended, met, invited, entered: meets };
}

/** Answers whether the user came into the room in the range. */
function* tallyRoom(range: SharingRange, room: RoomNid, tallies: Map<UserId, Tally>): Compose<boolean> {
  const { snapshot, rooms, user, since, head } = range;
  const joinedAt = (position: Position): boolean =>
    rooms.localMembershipAt(snapshot, user, room, position)?.membership === 'join';
  const mine = { before: joinedAt(since), now: joinedAt(head) };
  if (!mine.before && !mine.now) return false;
  const broke = mine.before && mine.now && !stayedJoined(range, room);
  const changes = memberChanges(range, room);
  const tallyOf = (id: UserId): Tally => {
    const nothing = { before: false, again: false, met: false, invited: false, rooms: new Set<RoomNid>() };
    const tally = tallies.get(id) ?? nothing;
    tallies.set(id, tally);
    return tally;
  };
  const note = (other: string, before: boolean, now: boolean, again: boolean): void => {
    if (other === user || (before === now && !again)) return;
    const tally = tallyOf(other as UserId);
    tally.before ||= before;
    tally.again ||= again;
    tally.met ||= now;
    tally.rooms.add(room);
  };
  let step = 0;
  for (const { stateKey, from, to } of changes.values()) {
    const before = mine.before && isJoin(range, from);
    const now = mine.now && isJoin(range, to);
    note(stateKey, before, now, before && now && (broke || !stayed(range, stateKey, from, to)));
    if (mine.now && isInvite(range, to) && !isInvite(range, from)) tallyOf(stateKey as UserId).invited = true;
    if (isPause(step++)) yield;
  }
  const isNew = mine.now && (!mine.before || broke);
  if (mine.before && mine.now && !broke) return isNew;
  for (const member of rooms.members(snapshot, room, 'join')) {
    if (!changes.has(member.user)) note(member.user, mine.before, mine.now, broke);
    if (isPause(step++)) yield;
  }
  return isNew;
}

function memberChanges({ snapshot, rooms, since, head }: SharingRange, room: RoomNid): Map<string, StateChange> {
  const from = since === 0 ? 0 : rooms.snapshotAt(snapshot, room, since);
  const to = rooms.snapshotAt(snapshot, room, head);
  const changes = new Map<string, StateChange>();
  // Without a state at the start there were no members: the walk over the present ones tells all.
  if (from === 0 || from === to) return changes;
  const found = foundMembers({ snapshot, rooms, since, head }, room);
  for (const change of rooms.stateDifference(snapshot, from, to)) {
    if (change.type !== memberType) continue;
    const known = change.from === 0 ? found.get(change.stateKey) : undefined;
    if (known !== change.to) changes.set(change.stateKey, known === undefined ? change : { ...change, from: known });
  }
  return changes;
}

/**
 * Members whom a room that was partial was found to have when it became whole within the range (DESIGN §7), with their
 * member events: they had been there all the time.
 */
function foundMembers(
  { snapshot, rooms, since, head }: Pick<SharingRange, 'snapshot' | 'rooms' | 'since' | 'head'>,
  room: RoomNid,
): Map<string, EventNid> {
  const whole = rooms.wholeSince(snapshot, room);
  const found = new Map<string, EventNid>();
  if (whole <= since || whole > head) return found;
  const [before, after] = [asPosition(whole - 1), whole].map((at) => rooms.snapshotAt(snapshot, room, at));
  if (before === undefined || after === undefined || before === 0) return found;
  for (const { type, stateKey, from, to } of rooms.stateDifference(snapshot, before, after)) {
    if (type === memberType && from === 0) found.set(stateKey, to);
  }
  return found;
}

function stayedJoined({ snapshot, rooms, user, since, head }: SharingRange, room: RoomNid): boolean {
  const rows = rooms.localMembershipsBetween(snapshot, user, since, head);
  return rows.every((row) => row.room !== room || row.membership === 'join');
}

function isJoin({ snapshot, rooms }: SharingRange, nid: EventNid): boolean {
  return nid !== 0 && rooms.membershipOf(snapshot, nid) === 'join';
}

const isInvite = ({ snapshot, rooms }: SharingRange, nid: EventNid): boolean =>
  nid !== 0 && rooms.membershipOf(snapshot, nid) === 'invite';

/** How many replaced member events are looked through before it is assumed that a member was away meanwhile. */
const maxReplaced = 50;

/** Whether a member who is joined at both ends (by these two events) was so all the time between. */
function stayed(range: SharingRange, user: string, from: EventNid, to: EventNid): boolean {
  const { snapshot, rooms } = range;
  let at = to;
  for (let step = 0; step < maxReplaced; step += 1) {
    const event = rooms.event(snapshot, at);
    if (event === undefined || event.snapshot === 0 || !isJoin(range, at)) return false;
    at = rooms.stateEvent(snapshot, event.snapshot, memberType, user);
    if (at === from) return true;
    if (at === 0) return false;
  }
  return false;
}

/** Users whose device lists a user has to fetch again, and those that need no longer be followed. */
export interface DeviceListChanges {
  readonly changed: readonly UserId[];
  readonly left: readonly UserId[];
}

/** `device_lists` of a range as of the snapshot's head, for /keys/changes; the token `since` is checked by the caller. */
export function* deviceListChanges(
  range: Omit<SharingRange, 'changed'>,
  keyChanges: readonly UserId[],
): Compose<DeviceListChanges> {
  const { snapshot, rooms, user, since, head } = range;
  const changed = new Set(rooms.roomsChangedSince(snapshot, since));
  for (const row of rooms.localMembershipsBetween(snapshot, user, since, asPosition(head))) changed.add(row.room);
  const sharing = yield* sharingChanges({ ...range, changed });
  return mergeDeviceLists(keyChanges, sharing, (other) => rooms.sharedRooms(snapshot, user, other).length > 0, user);
}

/** Puts key changes and changes of sharing together. */
export function mergeDeviceLists(
  keyChanges: readonly UserId[],
  { began, ended, invited, entered }: SharingChanges,
  shares: (other: UserId) => boolean,
  user: UserId,
): DeviceListChanges {
  const changed = new Set<UserId>([...began, ...invited, ...(entered ? [user] : [])]);
  for (const other of keyChanges) if (other === user || shares(other)) changed.add(other);
  return { changed: [...changed].sort(), left: [...ended].sort() };
}
