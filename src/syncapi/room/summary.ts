/**
 * The summary of a joined room: member counts, and heroes where the room has no name of its own. Sent when the client
 * knows nothing of the room, or its members, name or alias changed.
 */
import { asString, memberOf } from '../../matrix/json.ts';
import { contentOf } from '../../roomserver/index.ts';
import { roomMarks, type Part, type Pass } from '../pass.ts';
import type { RoomView } from './room-view.ts';
import { memberType, snapshotAt, stateChanges } from './state.ts';

/** "This should be the first 5 members of the room." */
const heroCount = 5;
const naming = new Set([memberType, 'm.room.name', 'm.room.canonical_alias']);

export interface Summary {
  readonly part: Part;
  readonly heroes: readonly string[];
}

export const noSummary: Summary = { part: { text: '{}', notable: false }, heroes: [] };

export function summarise(pass: Pass, view: RoomView): Summary {
  if (!isChanged(pass, view)) return noSummary;
  const { rooms } = pass.parts;
  const room = view.room.nid;
  const { joined, invited } = rooms.memberCounts(pass.snapshot, room);
  const heroes = isNamed(pass, view) ? undefined : findHeroes(pass, view, invited > 0);
  const start = heroes === undefined ? '{' : `{"m.heroes":${JSON.stringify(heroes)},`;
  return {
    part: { text: `${start}"m.joined_member_count":${joined},"m.invited_member_count":${invited}}`, notable: false },
    heroes: heroes ?? [],
  };
}

function isChanged(pass: Pass, view: RoomView): boolean {
  if (view.stateFrom === 0) return true;
  if ((view.marks & roomMarks.state) === 0) return false;
  const changes = stateChanges(pass, snapshotAt(pass, view, view.stateFrom), snapshotAt(pass, view, view.stateEnd));
  return changes.some(({ type }) => naming.has(type));
}

/** "Required if the room's `m.room.name` or `m.room.canonical_alias` state events are unset or empty." */
function isNamed(pass: Pass, view: RoomView): boolean {
  const has = (type: string, field: string): boolean => {
    const event = pass.parts.rooms.currentEvent(pass.snapshot, view.room.nid, type, '');
    return event !== undefined && (asString(memberOf(contentOf(event), field)) ?? '') !== '';
  };
  return has('m.room.name', 'name') || has('m.room.canonical_alias', 'alias');
}

function findHeroes(pass: Pass, view: RoomView, hasInvited: boolean): readonly string[] {
  const first = (memberships: readonly ('join' | 'invite' | 'leave' | 'ban')[]): readonly string[] =>
    pass.parts.rooms
      .firstMembers(pass.snapshot, view.room.nid, memberships, heroCount + 1)
      .filter((user) => user !== pass.user)
      .slice(0, heroCount);
  const present = first(hasInvited ? ['join', 'invite'] : ['join']);
  // "When no joined or invited members are available, this should consist of the banned and left users."
  return present.length > 0 ? present : first(['leave', 'ban']);
}
