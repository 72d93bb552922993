/** Reading rooms as a user, over a roomserver of its own: each endpoint's function with its answer parsed. */
import { emptyEventFilter, parseEventFilter } from '../../src/matrix/filters.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import {
  type Asker,
  type ContextRequest,
  type Direction,
  type InitialSyncParts,
  type MessagesRequest,
  type MissingHistory,
  type RelationsRequest,
  readContext,
  readEventAtTime,
  readInitialSync,
  readMessages,
  readRelations,
  readRoomInitialSync,
  readThreads,
} from '../../src/syncapi/index.ts';
import { threadEventsProjection } from '../../src/syncapi/thread-events.ts';
import { type TestRooms, openTestRooms, user } from './room-core.ts';

export interface ClientEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  readonly state_key?: string;
  readonly content: JsonObject;
  readonly unsigned: { readonly 'm.relations'?: Record<string, JsonObject>; readonly membership?: string };
}

export interface MessagesPage {
  readonly chunk: readonly ClientEvent[];
  readonly start: string;
  readonly end?: string;
  readonly state?: readonly ClientEvent[];
}

export interface ContextPage {
  readonly start: string;
  readonly end: string;
  readonly event: ClientEvent;
  readonly events_before: readonly ClientEvent[];
  readonly events_after: readonly ClientEvent[];
  readonly state: readonly ClientEvent[];
}

export interface RelationsPage {
  readonly chunk: readonly ClientEvent[];
  readonly next_batch?: string;
  readonly prev_batch?: string;
  readonly recursion_depth?: number;
}

export interface RoomSnapshot {
  readonly room_id: string;
  readonly membership?: string;
  readonly messages: { readonly chunk: readonly ClientEvent[]; readonly start: string; readonly end: string };
  readonly state: readonly ClientEvent[];
  readonly visibility: string;
  readonly invite?: ClientEvent;
}

type Wish<T> = Partial<{ [K in keyof T]: T[K] | undefined }>;

export interface TestReads extends TestRooms {
  readonly parts: InitialSyncParts & { history?: MissingHistory | undefined };
  /** By user: whom he ignores. */
  readonly ignored: Map<string, Set<string>>;
  asker(id: string): Asker;
  say(room: Room, sender: string, body: string, content?: JsonObject): Promise<StoredEvent>;
  relate(room: Room, sender: string, relType: string, target: StoredEvent, more?: JsonObject): Promise<StoredEvent>;
  state(room: Room, sender: string, type: string, content: JsonObject, stateKey?: string): Promise<StoredEvent>;
  member(room: Room, sender: string, target: string, membership: string): Promise<StoredEvent>;
  messages(
    room: Room,
    reader: string,
    wish?: Wish<MessagesRequest> & { filterJson?: JsonObject },
  ): Promise<MessagesPage>;
  context(
    room: Room,
    reader: string,
    event: StoredEvent,
    wish?: Wish<ContextRequest> & { filterJson?: JsonObject },
  ): Promise<ContextPage>;
  relations(room: Room, reader: string, parent: StoredEvent, wish?: Wish<RelationsRequest>): Promise<RelationsPage>;
  threads(
    room: Room,
    reader: string,
    wish?: { limit?: number; from?: string | undefined; include?: 'all' | 'participated' },
  ): Promise<RelationsPage>;
  eventAt(room: Room, reader: string, ts: number, direction: Direction): Promise<string>;
  roomSnapshot(room: Room, reader: string, limit?: number): Promise<RoomSnapshot>;
  allRooms(
    reader: string,
    wish?: { limit?: number; archived?: boolean },
  ): Promise<{ readonly end: string; readonly rooms: readonly RoomSnapshot[] }>;
}

const filterOf = (json: JsonObject | undefined): MessagesRequest['filter'] => {
  if (json === undefined) return emptyEventFilter;
  const filter = parseEventFilter(json);
  if (!filter.ok) throw new Error(filter.error);
  return filter.value;
};

export function openTestReads(): TestReads {
  const rooms = openTestRooms();
  const { core, db, bus, time } = rooms;
  bus.addProjection(threadEventsProjection(core));
  const ignored = new Map<string, Set<string>>();
  const parts: TestReads['parts'] = {
    db,
    rooms: core,
    clock: { now: () => time.now, sleep: async () => undefined },
    userData: {
      ignoredUsers: (_snapshot, id) => ignored.get(id) ?? new Set(),
      accountData: () => [],
      receipts: () => [],
      presence: () => undefined,
    },
    isPublished: () => false,
  };
  const asker = (id: string): Asker => ({ userId: user(id), deviceId: undefined, shown: db.shown() });
  return {
    ...rooms,
    ...writers(rooms),
    parts,
    ignored,
    asker,
    messages: async (room, reader, { filterJson, ...wish } = {}) => {
      const wanted = { from: undefined, to: undefined, direction: 'b' as const, limit: undefined, ...wish };
      const filter = filterOf(filterJson);
      const request = { ...wanted, direction: wanted.direction ?? 'b', filter, roomId: room.roomId };
      return JSON.parse(await readMessages(parts, asker(reader), request)) as MessagesPage;
    },
    context: async (room, reader, event, { filterJson, limit } = {}) => {
      const request = { roomId: room.roomId, eventId: event.eventId, limit, filter: filterOf(filterJson) };
      return JSON.parse(await readContext(parts, asker(reader), request)) as ContextPage;
    },
    relations: async (room, reader, parent, wish = {}) => {
      const { relType, eventType, from, to, limit } = wish;
      const kind = { roomId: room.roomId, eventId: parent.eventId, relType, eventType };
      const paging = { from, to, limit, direction: wish.direction ?? 'b', recurse: wish.recurse ?? false };
      return JSON.parse(await readRelations(parts, asker(reader), { ...kind, ...paging })) as RelationsPage;
    },
    threads: async (room, reader, { limit, from, include = 'all' } = {}) => {
      const request = { roomId: room.roomId, limit, from, include };
      return JSON.parse(await readThreads(parts, asker(reader), request)) as RelationsPage;
    },
    eventAt: async (room, reader, ts, direction) =>
      (await readEventAtTime(parts, asker(reader), { roomId: room.roomId, ts, direction })).event_id,
    roomSnapshot: async (room, reader, limit) =>
      JSON.parse(await readRoomInitialSync(parts, asker(reader), { roomId: room.roomId, limit })) as RoomSnapshot,
    allRooms: async (reader, { limit, archived = false } = {}) =>
      JSON.parse(await readInitialSync(parts, asker(reader), { limit, archived })) as {
        end: string;
        rooms: RoomSnapshot[];
      },
  };
}

function writers(rooms: TestRooms): Pick<TestReads, 'say' | 'relate' | 'state' | 'member'> {
  const say: TestReads['say'] = (room, sender, body, content = {}) =>
    rooms.send(room, { type: 'm.room.message', sender, content: { msgtype: 'm.text', body, ...content } });
  const state: TestReads['state'] = (room, sender, type, content, stateKey = '') =>
    rooms.send(room, { type, stateKey, sender, content });
  return {
    say,
    state,
    relate: (room, sender, relType, target, more = {}) =>
      say(room, sender, relType, { ...more, 'm.relates_to': { rel_type: relType, event_id: target.eventId } }),
    member: (room, sender, target, membership) => state(room, sender, 'm.room.member', { membership }, target),
  };
}
