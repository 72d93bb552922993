/** The children of a space (C-S API v1.19 §Spaces): which of its events name one, and in which order they come. */
import { type RoomId, type UserId, parseRoomId, parseServerName, type ServerName } from '../../matrix/ids.ts';
import { type JsonObject, asArray, asString, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Room } from '../types.ts';
import { roomType } from './room-summary.ts';

/** A stripped `m.space.child` event with its time. */
export interface SpaceChild {
  readonly type: string;
  readonly state_key: RoomId;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
}

/** The child that an event names; undefined: "Child rooms can be removed from a space by omitting the `via` key." */
export function validChild(
  event: Omit<SpaceChild, 'state_key'> & { readonly state_key: string },
): SpaceChild | undefined {
  const child = parseRoomId(event.state_key);
  const isValid = (asArray(event.content.via) ?? []).some((server) => typeof server === 'string');
  return child === undefined || !isValid ? undefined : { ...event, state_key: child };
}

/** Servers that may know a child. */
export const viaOf = ({ content }: SpaceChild): ServerName[] =>
  (asArray(content.via) ?? []).flatMap((server) => (typeof server === 'string' ? (parseServerName(server) ?? []) : []));

/** The valid children of a space in the order of the specification; of any other room, none. */
export function spaceChildren(snapshot: Snapshot, rooms: RoomReader, room: Room): SpaceChild[] {
  if (roomType(snapshot, rooms, room) !== 'm.space') return [];
  const children = rooms.currentState(snapshot, room.nid, 'm.space.child').flatMap(({ type, stateKey, event }) => {
    const { content, sender, originServerTs } = rooms.roomEvent(snapshot, event);
    return validChild({ type, state_key: stateKey, sender, content, origin_server_ts: originServerTs }) ?? [];
  });
  return children.sort(compareChildren);
}

/** "Must consist of ASCII characters within the range \x20 (space) and \x7E (~), inclusive. Must not exceed 50 characters." */
const orderOf = ({ content }: SpaceChild): string | undefined => {
  const order = asString(memberOf(content, 'order'));
  return order !== undefined && /^[\x20-\x7e]{1,50}$/.test(order) ? order : undefined;
};

/** §Ordering of children within a space. */
export function compareChildren(one: SpaceChild, other: SpaceChild): number {
  const [a, b] = [orderOf(one), orderOf(other)];
  if (a !== b) {
    if (a === undefined || b === undefined) return a === undefined ? 1 : -1;
    return a < b ? -1 : 1;
  }
  return one.origin_server_ts - other.origin_server_ts || (one.state_key < other.state_key ? -1 : 1);
}
