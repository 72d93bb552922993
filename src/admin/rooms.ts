/** Rooms for administrators: list, details, members, state. */
import * as v from 'valibot';
import { JsonText, direction, flag, route, type Route } from '../http/index.ts';
import { historyVisibilityIn } from '../matrix/history-visibility.ts';
import { asString, memberOf, type JsonObject } from '../matrix/json.ts';
import {
  clientEvents,
  clientView,
  currentContent,
  publishedRoom,
  type Perform,
  type Room,
  type RoomNid,
  type RoomReader,
} from '../roomserver/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Devices } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { Slice } from '../util/slice.ts';
import { knownRoom, nextFrom, pageQuery, v1 } from './common.ts';

export interface RoomRouteParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly perform: Pick<Perform, 'aliases'>;
  readonly devices: Devices;
  readonly clock: Clock;
}

interface ListedRoom {
  readonly room_id: string;
  readonly name: string | null;
  readonly canonical_alias: string | null;
  readonly joined_members: number;
  readonly joined_local_members: number;
  readonly version: string;
  readonly creator: string;
  readonly encryption: string | null;
  readonly federatable: boolean;
  readonly public: boolean;
  readonly join_rules: string | null;
  readonly guest_access: string | null;
  readonly history_visibility: string | null;
  readonly state_events: number;
  readonly room_type: string | null;
}

/** Columns by which the list is ordered, and whether the largest come first. */
const orders: Readonly<Record<string, { readonly by: keyof ListedRoom; readonly largestFirst?: boolean }>> = {
  name: { by: 'name' },
  alphabetical: { by: 'name' },
  size: { by: 'joined_members', largestFirst: true },
  canonical_alias: { by: 'canonical_alias' },
  joined_members: { by: 'joined_members', largestFirst: true },
  joined_local_members: { by: 'joined_local_members', largestFirst: true },
  version: { by: 'version', largestFirst: true },
  creator: { by: 'creator' },
  encryption: { by: 'encryption' },
  federatable: { by: 'federatable' },
  public: { by: 'public' },
  join_rules: { by: 'join_rules' },
  guest_access: { by: 'guest_access' },
  history_visibility: { by: 'history_visibility' },
  state_events: { by: 'state_events', largestFirst: true },
};

const listQuery = v.object({
  ...pageQuery,
  order_by: v.optional(v.picklist(Object.keys(orders)), 'name'),
  dir: v.optional(direction, 'f'),
  search_term: v.optional(v.pipe(v.string(), v.minLength(1, 'expected a text to look for'))),
  public_rooms: v.optional(flag),
  empty_rooms: v.optional(flag),
});
type ListQuery = v.InferOutput<typeof listQuery>;

export const roomRoutes = (parts: RoomRouteParts): Route[] => [
  route({
    method: 'GET',
    path: `${v1}/rooms`,
    auth: 'admin',
    rate: 'none',
    query: listQuery,
    handle: ({ query }) => parts.db.snapshot((snapshot) => list(snapshot, parts, query)),
  }),
  route({
    method: 'GET',
    path: `${v1}/rooms/:roomId`,
    auth: 'admin',
    rate: 'none',
    handle: ({ params, shown }) =>
      parts.db.read((snapshot) => {
        const room = knownRoom(snapshot, parts, params.roomId);
        shown.key(`room:${room.nid}`);
        return details(snapshot, parts, room);
      }),
  }),
  route({
    method: 'GET',
    path: `${v1}/rooms/:roomId/members`,
    auth: 'admin',
    rate: 'none',
    handle: ({ params, shown }) =>
      parts.db.read((snapshot) => {
        const { nid } = knownRoom(snapshot, parts, params.roomId);
        shown.key(`room:${nid}`);
        const members = parts.rooms.members(snapshot, nid, 'join').map(({ user }) => user);
        return { members, total: members.length };
      }),
  }),
  stateRoute(parts),
];

const stateRoute = (parts: RoomRouteParts): Route =>
  route({
    method: 'GET',
    path: `${v1}/rooms/:roomId/state`,
    auth: 'admin',
    rate: 'none',
    query: v.object({ type: v.optional(v.string()) }),
    handle: ({ requester: { userId, deviceId }, params, query, shown }) =>
      parts.db.snapshot(async (snapshot) => {
        const { nid } = knownRoom(snapshot, parts, params.roomId);
        shown.key(`room:${nid}`);
        const events = parts.rooms.currentState(snapshot, nid, query.type).map(({ event }) => event);
        const view = clientView({ userId, deviceId, now: parts.clock.now() });
        const texts = await clientEvents(snapshot, parts.rooms, events, view);
        return new JsonText(['{"state":[', texts.join(','), ']}']);
      }),
  });

async function list(snapshot: Snapshot, parts: RoomRouteParts, query: ListQuery): Promise<unknown> {
  const slice = new Slice();
  const found: ListedRoom[] = [];
  for (const nid of parts.rooms.allRooms(snapshot)) {
    if (mayMatch(snapshot, parts, nid, query)) {
      const listed = describe(snapshot, parts, parts.rooms.roomByNid(snapshot, nid));
      if (matches(listed, query.search_term)) found.push(listed);
    }
    await slice.tick();
  }
  const { by, largestFirst } = orders[query.order_by] ?? { by: 'name' };
  const sign = (largestFirst === true) === (query.dir === 'f') ? -1 : 1;
  found.sort((a, b) => sign * compare(a[by], b[by]) || compare(a.room_id, b.room_id));
  const { from, limit } = query;
  const page = found.slice(from, from + limit);
  const next = nextFrom(from, page.length, found.length);
  return {
    rooms: page,
    offset: from,
    total_rooms: found.length,
    ...(next === undefined ? {} : { next_batch: next }),
    ...(from > 0 ? { prev_batch: Math.max(0, from - limit) } : {}),
  };
}

/** What is told without reading the room's state. */
function mayMatch(snapshot: Snapshot, { rooms, perform }: RoomRouteParts, nid: RoomNid, query: ListQuery): boolean {
  const { public_rooms: isPublic, empty_rooms: isEmpty } = query;
  if (isPublic !== undefined && perform.aliases.isPublished(snapshot, nid) !== isPublic) return false;
  return isEmpty === undefined || (rooms.joinedCount(snapshot, nid) === 0) === isEmpty;
}

/** The term is looked for in the name, the alias's local part, and the id as it stands. */
function matches({ name, canonical_alias: alias, room_id: roomId }: ListedRoom, term: string | undefined): boolean {
  if (term === undefined) return true;
  const wanted = term.toLowerCase();
  const local = alias?.slice(0, alias.indexOf(':'));
  return roomId.includes(term) || [name, local].some((text) => text?.toLowerCase().includes(wanted) === true);
}

/** Texts without regard to case; what is absent comes first. */
function compare(a: string | number | boolean | null, b: string | number | boolean | null): number {
  const [x, y] = [a, b].map((value) => (typeof value === 'string' ? value.toLowerCase() : (value ?? '')));
  if (x === undefined || y === undefined || x === y) return 0;
  return x < y ? -1 : 1;
}

function describe(snapshot: Snapshot, { rooms, perform }: RoomRouteParts, room: Room): ListedRoom {
  const { name, canonical_alias: alias, room_type: type } = publishedRoom(snapshot, rooms, room);
  const state = (eventType: string, key: string): string | null =>
    asString(memberOf(currentContent(snapshot, rooms, room, eventType), key)) ?? null;
  const visibility = currentContent(snapshot, rooms, room, 'm.room.history_visibility');
  return {
    room_id: room.roomId,
    name: name ?? null,
    canonical_alias: alias ?? null,
    joined_members: rooms.joinedCount(snapshot, room.nid),
    joined_local_members: rooms.joinedLocalUsers(snapshot, room.nid).length,
    version: room.rules.version,
    creator: room.creators[0] ?? '',
    encryption: state('m.room.encryption', 'algorithm'),
    federatable: room.federate,
    public: perform.aliases.isPublished(snapshot, room.nid),
    join_rules: state('m.room.join_rules', 'join_rule'),
    guest_access: state('m.room.guest_access', 'guest_access'),
    history_visibility: visibility === undefined ? null : historyVisibilityIn(visibility),
    state_events: rooms.stateSize(snapshot, room.nid),
    room_type: type ?? null,
  };
}

function details(snapshot: Snapshot, parts: RoomRouteParts, room: Room): JsonObject {
  const { rooms, devices } = parts;
  const { topic, avatar_url: avatar } = publishedRoom(snapshot, rooms, room);
  const local = rooms.joinedLocalUsers(snapshot, room.nid);
  const known = rooms.members(snapshot, room.nid).map(({ user }) => user);
  const rows = known.map((user) => rooms.localMemberships(snapshot, user).find((row) => row.room === room.nid));
  return {
    ...describe(snapshot, parts, room),
    topic: topic ?? null,
    avatar: avatar ?? null,
    joined_local_devices: local.reduce((sum, user) => sum + devices.list(snapshot, user).length, 0),
    forgotten: local.length === 0 && rows.every((row) => row === undefined || row.forgotten),
  };
}
