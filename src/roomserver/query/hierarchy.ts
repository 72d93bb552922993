/**
 * The tree of a space (C-S API v1.19 §Discovering rooms within spaces): depth first, children in their order, each room
 * once, so that loops end. A page begins where the last one ended: the walk is made anew, and what was told is passed over.
 */
import { matrixError } from '../../matrix/errors.ts';
import { type RoomId, type UserId, parseRoomId } from '../../matrix/ids.ts';
import { type JsonObject, asArray, asString, memberOf } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import type { RoomReader } from '../core.ts';
import type { Room } from '../types.ts';
import { mayDiscover } from './join-conditions.ts';
import { type RoomSummary, roomSummary, roomType } from './room-summary.ts';

export interface HierarchyRequest {
  readonly roomId: string;
  readonly suggestedOnly: boolean;
  /** How far below the root; undefined: as far as it goes. */
  readonly maxDepth: number | undefined;
  readonly limit: number | undefined;
  /** `next_batch` of an earlier page of the same request. */
  readonly from: string | undefined;
}

/** A stripped `m.space.child` event with its time. */
export interface SpaceChild {
  readonly type: string;
  readonly state_key: RoomId;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly origin_server_ts: number;
}

export interface HierarchyRoom extends RoomSummary {
  readonly children_state: readonly SpaceChild[];
}

export interface Hierarchy {
  readonly rooms: readonly HierarchyRoom[];
  readonly next_batch?: string;
}

const limits = { default: 50, max: 500 };
const deepest = 50;
/** Rooms that one walk looks at, found or not. */
const visitedRooms = 20_000;

/** @throws M_FORBIDDEN when the user may not see the root; M_INVALID_PARAM */
export async function readHierarchy(
  snapshot: Snapshot,
  rooms: RoomReader,
  user: UserId,
  request: HierarchyRequest,
): Promise<Hierarchy> {
  const root = rooms.room(snapshot, request.roomId);
  if (root === undefined || !mayDiscover(snapshot, rooms, root, user)) {
    throw matrixError.forbidden('You are not allowed to view this room');
  }
  const told = parseToken(request);
  const limit = Math.min(request.limit ?? limits.default, limits.max);
  const maxDepth = Math.min(request.maxDepth ?? deepest, deepest);
  const page: HierarchyRoom[] = [];
  const slice = new Slice();
  let passed = 0;
  for (const { room, children } of walk(snapshot, rooms, user, root, maxDepth, request.suggestedOnly)) {
    if (page.length === limit) return { rooms: page, next_batch: tokenOf(request, passed) };
    if (passed >= told) page.push({ ...roomSummary(snapshot, rooms, room), children_state: children });
    passed += 1;
    await slice.tick();
  }
  return { rooms: page };
}

interface Visit {
  readonly room: Room;
  readonly children: readonly SpaceChild[];
}

function* walk(
  snapshot: Snapshot,
  rooms: RoomReader,
  user: UserId,
  root: Room,
  maxDepth: number,
  suggestedOnly: boolean,
): Generator<Visit> {
  const seen = new Set<string>();
  const stack: { readonly roomId: RoomId; readonly depth: number }[] = [{ roomId: root.roomId, depth: 0 }];
  for (let next = stack.pop(); next !== undefined && seen.size < visitedRooms; next = stack.pop()) {
    const { roomId, depth } = next;
    if (seen.has(roomId)) continue;
    seen.add(roomId);
    const room = rooms.room(snapshot, roomId);
    if (room === undefined || !mayDiscover(snapshot, rooms, room, user)) continue;
    const children = spaceChildren(snapshot, rooms, room).filter(
      ({ content }) => !suggestedOnly || content.suggested === true,
    );
    yield { room, children };
    if (depth >= maxDepth) continue;
    for (const child of children.toReversed()) stack.push({ roomId: child.state_key, depth: depth + 1 });
  }
}

/** The valid children of a space in the order of the specification; of any other room, none. */
export function spaceChildren(snapshot: Snapshot, rooms: RoomReader, room: Room): SpaceChild[] {
  if (roomType(snapshot, rooms, room) !== 'm.space') return [];
  const children = rooms.currentState(snapshot, room.nid, 'm.space.child').flatMap(({ type, stateKey, event }) => {
    const { content, sender, originServerTs } = rooms.roomEvent(snapshot, event);
    const child = parseRoomId(stateKey);
    // "Child rooms can be removed from a space by omitting the `via` key."
    const isValid = (asArray(content.via) ?? []).some((server) => typeof server === 'string');
    if (child === undefined || !isValid) return [];
    return [{ type, state_key: child, sender, content, origin_server_ts: originServerTs }];
  });
  return children.sort(compareChildren);
}

/** "Must consist of ASCII characters within the range \x20 (space) and \x7E (~), inclusive. Must not exceed 50 characters." */
const orderOf = ({ content }: SpaceChild): string | undefined => {
  const order = asString(memberOf(content, 'order'));
  return order !== undefined && /^[\x20-\x7e]{1,50}$/.test(order) ? order : undefined;
};

function compareChildren(one: SpaceChild, other: SpaceChild): number {
  const [a, b] = [orderOf(one), orderOf(other)];
  if (a !== b) {
    if (a === undefined || b === undefined) return a === undefined ? 1 : -1;
    return a < b ? -1 : 1;
  }
  return one.origin_server_ts - other.origin_server_ts || (one.state_key < other.state_key ? -1 : 1);
}

const nameOf = ({ roomId, suggestedOnly, maxDepth }: HierarchyRequest): string =>
  JSON.stringify([roomId, suggestedOnly, maxDepth ?? null]);

const tokenOf = (request: HierarchyRequest, passed: number): string =>
  Buffer.from(`${passed} ${nameOf(request)}`).toString('base64url');

/** How many rooms were told before. @throws M_INVALID_PARAM for a token of another request */
function parseToken(request: HierarchyRequest): number {
  if (request.from === undefined) return 0;
  const [, passed, name] = /^(\d{1,6}) (.+)$/.exec(Buffer.from(request.from, 'base64url').toString()) ?? [];
  if (passed === undefined) throw matrixError.invalidParam('from is not a token that this server gave out');
  if (name !== nameOf(request)) {
    throw matrixError.invalidParam('room, suggested_only and max_depth cannot change on paginated requests');
  }
  return Number(passed);
}
