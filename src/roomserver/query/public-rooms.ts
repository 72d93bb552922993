/**
 * The published room directory (C-S API v1.19 §Published room directory): the largest rooms first, those of one size by
 * their ids. Tokens name a place in that order and a direction, so that a list that changes meanwhile loses its place by
 * what has changed and no more.
 */
import { matrixError } from '../../matrix/errors.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { RoomNid } from '../types.ts';
import { type PublishedRoom, publishedRoom, roomType } from './room-summary.ts';

export interface PublicRoomsRequest {
  readonly limit: number | undefined;
  readonly since: string | undefined;
  /** Looked for in name, topic and alias, whatever its case. */
  readonly searchTerm: string | undefined;
  /** null stands for rooms without a type. */
  readonly roomTypes: readonly (string | null)[] | undefined;
}

export interface PublicRooms {
  readonly chunk: readonly PublishedRoom[];
  readonly next_batch?: string;
  readonly prev_batch?: string;
  readonly total_room_count_estimate: number;
}

interface Entry {
  readonly nid: RoomNid;
  readonly roomId: string;
  readonly joined: number;
}
type Place = Omit<Entry, 'nid'>;
type Direction = 'next' | 'prev';

const limits = { default: 100, max: 1000 };

/** @param published the rooms of the list, in any order. @throws M_INVALID_PARAM */
export function readPublicRooms(
  snapshot: Snapshot,
  rooms: RoomReader,
  published: readonly RoomNid[],
  request: PublicRoomsRequest,
): PublicRooms {
  const entries = published
    .map((nid) => ({ nid, roomId: rooms.roomByNid(snapshot, nid).roomId, joined: rooms.joinedCount(snapshot, nid) }))
    // A room that everybody has left can be joined by nobody.
    .filter(({ joined, nid }) => joined > 0 && hasType(snapshot, rooms, nid, request.roomTypes))
    .sort(comparePlaces);
  const found = matching(snapshot, rooms, entries, request.searchTerm);
  const [start, end] = range(found, request);
  const shown = found.slice(start, end);
  const [first, last] = [shown.at(0), shown.at(-1)];
  return {
    chunk: shown.map(({ nid }) => publishedRoom(snapshot, rooms, rooms.roomByNid(snapshot, nid))),
    ...(last !== undefined && end < found.length ? { next_batch: tokenOf('next', last) } : {}),
    ...(first !== undefined && start > 0 ? { prev_batch: tokenOf('prev', first) } : {}),
    total_room_count_estimate: found.length,
  };
}

const hasType = (
  snapshot: Snapshot,
  rooms: RoomReader,
  nid: RoomNid,
  types: readonly (string | null)[] | undefined,
): boolean => types === undefined || types.includes(roomType(snapshot, rooms, rooms.roomByNid(snapshot, nid)) ?? null);

function matching(
  snapshot: Snapshot,
  rooms: RoomReader,
  entries: readonly Entry[],
  term: string | undefined,
): readonly Entry[] {
  if (term === undefined || term === '') return entries;
  const wanted = folded(term);
  return entries.filter(({ nid }) => {
    const { name, topic, canonical_alias: alias } = publishedRoom(snapshot, rooms, rooms.roomByNid(snapshot, nid));
    return [name, topic, alias].some((text) => text !== undefined && folded(text).includes(wanted));
  });
}

const folded = (text: string): string => text.normalize('NFKC').toLowerCase();

/** Largest first. */
const comparePlaces = (a: Place, b: Place): number =>
  b.joined - a.joined || (a.roomId < b.roomId ? -1 : Number(a.roomId > b.roomId));

/** Where the page begins and ends. @throws M_INVALID_PARAM */
function range(entries: readonly Entry[], { since, limit: wanted }: PublicRoomsRequest): [start: number, end: number] {
  const limit = Math.min(wanted ?? limits.default, limits.max);
  if (since === undefined) return [0, limit];
  const { direction, place } = parseToken(since);
  if (direction === 'next') {
    const start = entries.filter((entry) => comparePlaces(entry, place) <= 0).length;
    return [start, start + limit];
  }
  const end = entries.filter((entry) => comparePlaces(entry, place) < 0).length;
  return [Math.max(0, end - limit), end];
}

const tokenOf = (direction: Direction, { joined, roomId }: Place): string =>
  Buffer.from(`${direction} ${joined} ${roomId}`).toString('base64url');

function parseToken(text: string): { readonly direction: Direction; readonly place: Place } {
  const [, direction, joined, roomId] =
    /^(next|prev) (\d{1,12}) (.+)$/s.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (roomId === undefined) throw matrixError.invalidParam('since is not a token that this server gave out');
  return { direction: direction === 'prev' ? 'prev' : 'next', place: { joined: Number(joined), roomId } };
}
