/** What a room and its members are called in notifications (C-S API v1.19 §Calculating the display name for a room). */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { asString, memberOf, parseJson } from '../matrix/json.ts';
import { contentOf, type LocalMembership, type RoomReader } from '../roomserver/index.ts';
import type { Snapshot } from '../storage/index.ts';

export interface RoomNames {
  /** Undefined: there is nobody and nothing to name it by. */
  readonly name: string | undefined;
  readonly alias: string | undefined;
  /** The display name of a member. */
  of(user: UserId): string | undefined;
}

/** A member of the content of one of the room's state events. */
type Field = (type: string, stateKey: string, field: string) => string | undefined;

/** Names as `user` may know them: from the current state, or for an invite from the stripped state that came with it. */
export function roomNames(snapshot: Snapshot, rooms: RoomReader, room: RoomNid, user: UserId): RoomNames {
  const field: Field = (type, stateKey, name) => {
    const event = rooms.currentEvent(snapshot, room, type, stateKey);
    return event === undefined ? undefined : text(memberOf(contentOf(event), name));
  };
  const alias = field('m.room.canonical_alias', '', 'alias');
  return {
    alias,
    name: field('m.room.name', '', 'name') ?? alias ?? nameByMembers(snapshot, rooms, room, user, field),
    of: (member) => field('m.room.member', member, 'displayname'),
  };
}

/** The same for a room that we are not in. */
export function strippedNames(snapshot: Snapshot, rooms: RoomReader, membership: LocalMembership): RoomNames {
  const events = rooms.strippedState(snapshot, membership).map(parseJson);
  const field: Field = (type, stateKey, name) => {
    const event = events.find((one) => memberOf(one, 'type') === type && memberOf(one, 'state_key') === stateKey);
    return event === undefined ? undefined : text(memberOf(memberOf(event, 'content'), name));
  };
  const alias = field('m.room.canonical_alias', '', 'alias');
  return {
    alias,
    name: field('m.room.name', '', 'name') ?? alias,
    of: (member) => field('m.room.member', member, 'displayname'),
  };
}

const text = (value: unknown): string | undefined => {
  const found = asString(value);
  return found === undefined || found.trim() === '' ? undefined : found;
};

function nameByMembers(
  snapshot: Snapshot,
  rooms: RoomReader,
  room: RoomNid,
  user: UserId,
  field: Field,
): string | undefined {
  const heroes = rooms.firstMembers(snapshot, room, ['join', 'invite'], 6).filter((member) => member !== user);
  const names = heroes.slice(0, 5).map((member) => field('m.room.member', member, 'displayname') ?? member);
  const [first, second] = names;
  if (first === undefined) return undefined;
  const others = rooms.joinedCount(snapshot, room) + rooms.invitedCount(snapshot, room) - 1 - names.length;
  if (others > 0) return `${names.slice(0, 2).join(', ')} and ${others + Math.max(names.length - 2, 0)} others`;
  if (second === undefined) return first;
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
