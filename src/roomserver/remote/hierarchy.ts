/**
 * The tree of a space (C-S API v1.19 §Discovering rooms within spaces): depth first, children in their order, each room
 * once, so that loops end. "The servers listed in the `via` array should be contacted to attempt to fill in missing rooms."
 * A page begins where the last one ended: the walk is made anew, and what was told is passed over.
 */
import { matrixError } from '../../matrix/errors.ts';
import type { RoomId, ServerName, UserId } from '../../matrix/ids.ts';
import type { Database, Shown } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import type { RoomReader } from '../room-reader.ts';
import { mayDiscover, mayDiscoverTold } from '../query/join-conditions.ts';
import { roomSummary } from '../query/room-summary.ts';
import { type SpaceChild, spaceChildren, viaOf } from '../query/space-children.ts';
import type { RemoteDirectory } from './directory.ts';
import type { ToldSummary } from './summary.ts';

export interface HierarchyParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly serverName: ServerName;
  readonly directory: Pick<RemoteDirectory, 'space'>;
}

export interface HierarchyRequest {
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly suggestedOnly: boolean;
  /** How far below the root; undefined: as far as it goes. */
  readonly maxDepth: number | undefined;
  readonly limit: number | undefined;
  /** `next_batch` of an earlier page of the same request. */
  readonly from: string | undefined;
  /** Servers that may know the root. */
  readonly via: readonly ServerName[];
  readonly shown: Shown;
  readonly signal: AbortSignal;
}

export type HierarchyRoom = ToldSummary & { readonly children_state: readonly SpaceChild[] };

export interface Hierarchy {
  readonly rooms: readonly HierarchyRoom[];
  readonly next_batch?: string;
}

const limits = { default: 50, max: 500 };
const deepest = 50;
/** Rooms that one walk looks at, found or not. */
const visitedRooms = 20_000;
/** For this long one walk asks other servers, in ms; later only what is known is told. */
const askingMs = 25_000;

/** @throws M_FORBIDDEN when the user may not see the root; M_INVALID_PARAM */
export async function readHierarchy(parts: HierarchyParts, request: HierarchyRequest): Promise<Hierarchy> {
  const told = parseToken(request);
  const limit = Math.min(request.limit ?? limits.default, limits.max);
  const page: HierarchyRoom[] = [];
  let passed = 0;
  for await (const room of new Walk(parts, request).rooms()) {
    if (page.length === limit) return { rooms: page, next_batch: tokenOf(request, passed) };
    if (passed >= told) page.push(room);
    passed += 1;
  }
  if (passed === 0) throw matrixError.forbidden('You are not allowed to view this room');
  return { rooms: page };
}

interface Place {
  readonly roomId: RoomId;
  readonly depth: number;
  readonly via: readonly ServerName[];
  /** What the server that told of its parent says of it. */
  readonly told: ToldSummary | undefined;
}

interface Visit {
  readonly summary: ToldSummary;
  readonly children: readonly SpaceChild[];
  readonly told?: ReadonlyMap<string, ToldSummary>;
  readonly inaccessible?: ReadonlySet<string>;
}

class Walk {
  readonly #parts: HierarchyParts;
  readonly #request: HierarchyRequest;
  readonly #seen = new Set<string>();
  readonly #askUntil = performance.now() + askingMs;

  constructor(parts: HierarchyParts, request: HierarchyRequest) {
    this.#parts = parts;
    this.#request = request;
  }

  async *rooms(): AsyncGenerator<HierarchyRoom> {
    const { roomId: root, via, suggestedOnly } = this.#request;
    const maxDepth = Math.min(this.#request.maxDepth ?? deepest, deepest);
    const slice = new Slice();
    const stack: Place[] = [{ roomId: root, depth: 0, via, told: undefined }];
    for (let next = stack.pop(); next !== undefined && this.#seen.size < visitedRooms; next = stack.pop()) {
      if (this.#seen.has(next.roomId)) continue;
      this.#seen.add(next.roomId);
      const visit = this.#visitOwn(next.roomId) ?? (await this.#visitOther(next));
      await slice.tick();
      if (visit === undefined || visit === 'hidden') continue;
      const children = visit.children.filter(({ content }) => !suggestedOnly || content.suggested === true);
      yield { ...visit.summary, children_state: children };
      if (next.depth >= maxDepth) continue;
      for (const child of children.toReversed()) {
        const { state_key: roomId } = child;
        if (visit.inaccessible?.has(roomId) === true) continue;
        stack.push({ roomId, depth: next.depth + 1, via: viaOf(child), told: visit.told?.get(roomId) });
      }
    }
  }

  /** A room that this server is in; undefined: it is not. */
  #visitOwn(roomId: RoomId): Visit | 'hidden' | undefined {
    const { db, rooms, serverName } = this.#parts;
    return db.read((snapshot) => {
      const room = rooms.room(snapshot, roomId);
      if (room === undefined || !rooms.isServerJoined(snapshot, room.nid, serverName)) return undefined;
      if (!mayDiscover(snapshot, rooms, room, this.#request.user)) return 'hidden';
      this.#request.shown.key(`room:${room.nid}`);
      return { summary: roomSummary(snapshot, rooms, room), children: spaceChildren(snapshot, rooms, room) };
    });
  }

  /** A room of other servers, else what we knew of it when we were there. */
  async #visitOther({ roomId, via, told }: Place): Promise<Visit | undefined> {
    const { db, rooms, serverName, directory } = this.#parts;
    const { user, suggestedOnly, signal } = this.#request;
    const others = via.filter((server) => server !== serverName);
    // Only spaces have more to tell than their parent's server did.
    const mayAsk = others.length > 0 && performance.now() < this.#askUntil && !signal.aborted;
    const isKnown = told !== undefined && told.room_type !== 'm.space';
    const space = mayAsk && !isKnown ? await directory.space(roomId, others, suggestedOnly, signal) : undefined;
    const summary = space?.summary ?? told;
    return db.read((snapshot) => {
      if (summary !== undefined) {
        return mayDiscoverTold(snapshot, rooms, summary, user) ? { children: [], ...space, summary } : undefined;
      }
      const room = rooms.room(snapshot, roomId);
      if (room === undefined || !mayDiscover(snapshot, rooms, room, user)) return undefined;
      return { summary: roomSummary(snapshot, rooms, room), children: spaceChildren(snapshot, rooms, room) };
    });
  }
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
