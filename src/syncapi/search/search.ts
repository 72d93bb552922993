/**
 * `POST /search` (C-S API v1.19 §Server Side Search): results in order, their context, groups and the state of their rooms.
 * A page is a part of the list of all matches; its token says how far, in the whole list or in one group, and up to which
 * Position the list was made.
 */
import { matrixError } from '../../matrix/errors.ts';
import { asString, memberOf, parseJson } from '../../matrix/json.ts';
import { type StoredEvent, contentOf } from '../../roomserver/index.ts';
import { asPosition, type Position, type Snapshot } from '../../storage/index.ts';
import { Slice } from '../../util/slice.ts';
import { around } from '../context.ts';
import { tokenAfter, tokenBefore } from '../place-token.ts';
import { type Asker, type ReadParts, type RoomRead, openRoom, writeEvents } from '../room-read.ts';
import { type Match, type SearchWish, findMatches } from './matches.ts';
import { parseSearchTerm } from '../../util/words.ts';

export type GroupKey = 'room_id' | 'sender';

export interface SearchContext {
  readonly before: number;
  readonly after: number;
  readonly profiles: boolean;
}

export interface SearchRequest extends Omit<SearchWish, 'upTo'> {
  readonly groupBy: readonly GroupKey[];
  readonly context: SearchContext | undefined;
  readonly includeState: boolean;
  /** `next_batch` of an earlier page of the same request. */
  readonly from: string | undefined;
}

/** How much of the list was told before, or of one group of it. */
interface Start {
  readonly upTo: Position;
  readonly passed: number;
  readonly group: { readonly key: GroupKey; readonly value: string } | undefined;
}

const limits = { default: 10, max: 100 };

/** What composing a reply works with. */
interface Reply {
  readonly request: SearchRequest;
  readonly start: Start;
  /** All matches, and the part of them that this page shows. */
  readonly matches: readonly Match[];
  readonly page: readonly Match[];
  /** The room of an event, opened once. */
  readonly open: (event: StoredEvent) => RoomRead;
  readonly roomIdOf: (event: StoredEvent) => string;
}

/** JSON text of `room_events` in the response. @throws M_INVALID_PARAM */
export function readSearch(parts: ReadParts, asker: Asker, request: SearchRequest): Promise<string> {
  return parts.db.snapshot(async (snapshot, head) => {
    const { rooms } = parts;
    const start = parseToken(request, head);
    const ignored = parts.userData.ignoredUsers(snapshot, asker.userId);
    const searcher = { snapshot, rooms, userId: asker.userId, ignored, slice: new Slice() };
    const all = await findMatches(searcher, { ...request, upTo: start.upTo });
    const roomIdOf = (event: StoredEvent): string => rooms.roomByNid(snapshot, event.room).roomId;
    const { group } = start;
    const matches =
      group === undefined ? all : all.filter(({ event }) => groupOf(event, group.key, roomIdOf) === group.value);
    const limit = Math.min(request.filter.limit ?? limits.default, limits.max);
    const page = matches.slice(start.passed, start.passed + limit);
    const open = opener(parts, asker, snapshot, head);
    return replyText({ request, start, matches, page, open, roomIdOf }, limit);
  });
}

function opener(parts: ReadParts, asker: Asker, snapshot: Snapshot, head: Position): Reply['open'] {
  const opened = new Map<number, RoomRead>();
  return ({ room }) => {
    const read =
      opened.get(room) ?? openRoom(parts, asker, parts.rooms.roomByNid(snapshot, room).roomId, snapshot, head);
    opened.set(room, read);
    return read;
  };
}

async function replyText(reply: Reply, limit: number): Promise<string> {
  const { request, start, matches, page } = reply;
  const { highlights } = parseSearchTerm(request.term);
  const results: string[] = [];
  for (const match of page) results.push(await resultText(reply, match));
  let text = `{"count":${matches.length},"highlights":${JSON.stringify(highlights)},"results":[${results.join(',')}]`;
  if (request.groupBy.length > 0) text += `,"groups":${JSON.stringify(groupsOf(reply))}`;
  if (request.includeState) text += `,"state":${await stateText(reply)}`;
  // Whether a full page is the last one is told by the next.
  if (page.length > 0 && page.length === limit) {
    text += `,"next_batch":"${tokenOf({ ...start, passed: start.passed + page.length })}"`;
  }
  return `${text}}`;
}

async function resultText(reply: Reply, { event, score }: Match): Promise<string> {
  const read = reply.open(event);
  const context = reply.request.context;
  const text = `{"rank":${score},"result":${await writeEvents(read, [event])}`;
  return context === undefined ? `${text}}` : `${text},"context":${await contextText(read, context, event)}}`;
}

async function contextText(read: RoomRead, wanted: SearchContext, event: StoredEvent): Promise<string> {
  const { place } = event;
  if (place === undefined) return '{}';
  const before = await around(read, 'b', place, wanted.before);
  const after = await around(read, 'f', place, wanted.after);
  let text =
    `{"start":"${tokenBefore(before.at(-1)?.place ?? place)}","end":"${tokenAfter(after.at(-1)?.place ?? place)}",` +
    `"events_before":[${await writeEvents(read, before)}],"events_after":[${await writeEvents(read, after)}]`;
  if (wanted.profiles) text += `,"profile_info":${JSON.stringify(profilesAt(read, event, [...before, ...after]))}`;
  return `${text}}`;
}

/** "The historic profile information of the users that sent the events returned": as of the result. */
function profilesAt(
  { snapshot, rooms }: RoomRead,
  event: StoredEvent,
  others: readonly StoredEvent[],
): Record<string, { displayname?: string; avatar_url?: string }> {
  const state = rooms.stateAfter(snapshot, event);
  const profiles: Record<string, { displayname?: string; avatar_url?: string }> = {};
  for (const sender of new Set([event, ...others].map((each) => each.sender))) {
    const nid = rooms.stateEvent(snapshot, state, 'm.room.member', sender);
    const member = nid === 0 ? undefined : rooms.event(snapshot, nid);
    const content = member && contentOf(member);
    const [name, avatar] = [asString(memberOf(content, 'displayname')), asString(memberOf(content, 'avatar_url'))];
    profiles[sender] = {
      ...(name === undefined ? {} : { displayname: name }),
      ...(avatar === undefined ? {} : { avatar_url: avatar }),
    };
  }
  return profiles;
}

const groupOf = (event: StoredEvent, key: GroupKey, roomIdOf: Reply['roomIdOf']): string =>
  key === 'room_id' ? roomIdOf(event) : event.sender;

interface Group {
  readonly order: number;
  readonly results: string[];
  next_batch?: string;
}

/** The results of the page by group, those first whose best result comes first. */
function groupsOf({ request, start, matches, page, roomIdOf }: Reply): Record<string, Record<string, Group>> {
  const groups: Record<string, Record<string, Group>> = {};
  for (const key of request.groupBy) {
    const own = new Map<string, Group>();
    for (const { event } of page) {
      const value = groupOf(event, key, roomIdOf);
      const group = own.get(value) ?? { order: own.size + 1, results: [] };
      group.results.push(event.eventId);
      own.set(value, group);
    }
    for (const [value, group] of own) {
      const places = matches.flatMap(({ event }, at) => (groupOf(event, key, roomIdOf) === value ? [at] : []));
      const passed = places.filter((at) => at < start.passed + page.length).length;
      if (passed < places.length) group.next_batch = tokenOf({ upTo: start.upTo, passed, group: { key, value } });
    }
    groups[key] = Object.fromEntries(own);
  }
  return groups;
}

/** The state of the rooms in the page: the current one, or for who has left that of his leave. */
async function stateText({ page, open }: Reply): Promise<string> {
  const members: string[] = [];
  for (const read of new Set(page.map(({ event }) => open(event)))) {
    const { snapshot, rooms, access } = read;
    const state = rooms.snapshotAt(snapshot, access.room.nid, access.upTo);
    const events = rooms.stateEntries(snapshot, state).flatMap(({ event }) => rooms.event(snapshot, event) ?? []);
    members.push(`${JSON.stringify(access.room.roomId)}:[${await writeEvents(read, events)}]`);
  }
  return `{${members.join(',')}}`;
}

const tokenOf = ({ upTo, passed, group }: Start): string =>
  Buffer.from(JSON.stringify([upTo, passed, ...(group === undefined ? [] : [group.key, group.value])])).toString(
    'base64url',
  );

/** @throws M_INVALID_PARAM */
function parseToken({ from, groupBy }: SearchRequest, head: Position): Start {
  if (from === undefined) return { upTo: head, passed: 0, group: undefined };
  const parsed = parseJson(Buffer.from(from, 'base64url').toString());
  const [upTo, passed, key, value] = Array.isArray(parsed) ? parsed : [];
  const isCount = (number: unknown): number is number => Number.isSafeInteger(number) && Number(number) >= 0;
  const group = groupBy.find((each) => each === key);
  if (isCount(upTo) && isCount(passed)) {
    if (key === undefined) return { upTo: asPosition(upTo), passed, group: undefined };
    if (group !== undefined && typeof value === 'string') {
      return { upTo: asPosition(upTo), passed, group: { key: group, value } };
    }
  }
  throw matrixError.invalidParam('next_batch is not a token that this server gave out for this search');
}
