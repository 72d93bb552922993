/**
 * How one room stands towards the user in a pass (INVARIANTS 16): in which section of the response it goes, what the
 * client knows of it already, and where its timeline and state end.
 */
import type { LocalMembership, Room } from '../../roomserver/index.ts';
import { asPosition, type Position } from '../../storage/index.ts';
import { roomMarks, type Pass } from '../pass.ts';
import { startOfTime } from '../token.ts';

export interface RoomView {
  readonly room: Room;
  readonly section: 'join' | 'leave';
  readonly row: LocalMembership;
  /** What to look at, as marked. */
  readonly marks: number;
  /** The client knows nothing of the room: an initial sync, or newly joined. */
  readonly fresh: boolean;
  /** The timeline lies behind this Position … */
  readonly timelineFrom: Position;
  /** … and ends with this one. */
  readonly end: Position;
  /** The client has the state as of this Position; 0: it gets all of it. */
  readonly stateFrom: Position;
  /** The state that the user may have ends here. */
  readonly stateEnd: Position;
  /** The user was never joined in the range: of the state he is shown his own member event only. */
  readonly outsider: boolean;
}

export function joinedView(pass: Pass, room: Room, row: LocalMembership, marks: number): RoomView {
  const fresh = pass.initial || isNewlyJoined(pass, room) || becameWhole(pass, room);
  return {
    room,
    section: 'join',
    row,
    marks: fresh ? roomMarks.all : marks,
    fresh,
    timelineFrom: fresh ? startOfTime : pass.since,
    end: pass.head,
    stateFrom: fresh || pass.request.fullState ? startOfTime : pass.since,
    stateEnd: pass.head,
    outsider: false,
  };
}

/**
 * A room that the user has left, was banned from, or was never in. "A left room's timeline and state end at the leave's
 * row"; undefined when there is nothing to tell of it.
 */
export function leftView(pass: Pass, room: Room, row: LocalMembership): RoomView | undefined {
  const transitions = pass.transitions.get(room.nid) ?? [];
  if (transitions.length === 0 && !(pass.complete && pass.request.filter.room.includeLeave)) return undefined;
  const before = pass.initial ? undefined : membershipAtSince(pass, room);
  const last = lastJoin(pass, room, row);
  // Joined at `since` or since then: what happened while he was is his to see.
  const wasJoined = before === 'join' || (last !== undefined && last.joined > pass.since);
  const fresh = before !== 'join';
  const known = fresh || pass.request.fullState ? startOfTime : pass.since;
  return {
    room,
    section: 'leave',
    row,
    marks: roomMarks.changed | roomMarks.accountData,
    fresh,
    timelineFrom: wasJoined && fresh ? startOfTime : pass.since,
    end: row.position,
    stateFrom: known,
    stateEnd: last?.left ?? row.position,
    outsider: last === undefined || !(wasJoined || pass.complete),
  };
}

/** "Joined then, and not joined at `since` or at any time in the window." */
function isNewlyJoined(pass: Pass, room: Room): boolean {
  const transitions = pass.transitions.get(room.nid);
  if (transitions === undefined) return false;
  return transitions.some(({ membership }) => membership !== 'join') || membershipAtSince(pass, room) !== 'join';
}

/** A client that wants all members has nothing yet of a room that was joined without them (DESIGN §7). */
function becameWhole({ request, parts, snapshot, since, head }: Pass, room: Room): boolean {
  if (request.filter.room.state.lazyLoadMembers) return false;
  const whole = parts.rooms.wholeSince(snapshot, room.nid);
  return whole > since && whole <= head;
}

function membershipAtSince(pass: Pass, room: Room): string | undefined {
  return pass.parts.rooms.localMembershipAt(pass.snapshot, pass.user, room.nid, pass.since)?.membership;
}

/** Where the user's last stay began and ended; undefined: there was none. */
function lastJoin(
  pass: Pass,
  room: Room,
  row: LocalMembership,
): { readonly joined: Position; readonly left: Position } | undefined {
  const { rooms } = pass.parts;
  let left = row.position;
  for (;;) {
    if (left === 0) return undefined;
    const before = rooms.localMembershipAt(pass.snapshot, pass.user, room.nid, asPosition(left - 1));
    if (before === undefined) return undefined;
    if (before.membership === 'join') return { joined: before.position, left };
    left = before.position;
  }
}
