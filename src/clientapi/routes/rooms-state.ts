/** Reading a room (C-S API v1.19 §Getting events for a room): state, members, single events. */
import * as v from 'valibot';
import { JsonText, route, type RequestContext, type Route } from '../../http/index.ts';
import { matrixError, unableDueToPartialState } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { asString, memberOf } from '../../matrix/json.ts';
import {
  clientEvent,
  clientEvents,
  clientView,
  contentOf,
  contentText,
  createBundle,
  findRoom,
  membershipOfEvent,
  readableUntil,
  type ClientView,
  type EventNid,
  type PartialRooms,
  type Room,
  type RoomNid,
  type RoomCore,
  type SnapshotNid,
  type StoredEvent,
} from '../../roomserver/index.ts';
import { asPosition, type Database, type Position, type Snapshot } from '../../storage/index.ts';
import { parseCut, positionBefore } from '../../syncapi/index.ts';
import type { Clock } from '../../util/clock.ts';
import { runSliced, Slice } from '../../util/slice.ts';

export interface RoomStateRouteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly clock: Clock;
  readonly isLocal: (user: string) => boolean;
  /** Resolves when the members of a room are known, which they are but for partial-state rooms. */
  readonly partial: Pick<PartialRooms, 'awaitFull'>;
  /** Users whose events do not count in aggregations for this user. */
  readonly ignoredUsers: (snapshot: Snapshot, user: UserId) => ReadonlySet<string>;
}

type Asked = Pick<RequestContext<'guest', unknown, unknown, undefined>, 'requester' | 'shown' | 'signal'>;

const base = '/_matrix/client/v3/rooms/:roomId';
const membership = v.optional(v.picklist(['join', 'invite', 'knock', 'leave', 'ban']));
const membersQuery = v.object({ at: v.optional(v.string()), membership, not_membership: membership });
/** Members that are read in one go. */
const membersAtOnce = 200;
const formatQuery = v.object({ format: v.optional(v.picklist(['content', 'event'])) });

export const roomStateRoutes = (parts: RoomStateRouteParts): Route[] => [
  stateRoute(parts),
  stateEventRoute(parts),
  membersRoute(parts),
  joinedMembersRoute(parts),
  eventRoute(parts),
];

/** The room and the state in it that the requester may read, at most up to `at`. @throws M_FORBIDDEN */
function readable(
  snapshot: Snapshot,
  { rooms }: RoomStateRouteParts,
  roomId: string,
  { requester, shown }: Asked,
  at?: Position,
): { room: Room; state: SnapshotNid } {
  const room = findRoom(snapshot, rooms, roomId);
  const until = readableUntil(snapshot, rooms, room, requester.userId);
  shown.key(`room:${room.nid}`);
  if (until === undefined && at === undefined) return { room, state: rooms.currentSnapshot(snapshot, room.nid) };
  const asked = asPosition(Math.min(until ?? Infinity, at ?? Infinity));
  const position = rooms.wholeAt(snapshot, room.nid, asked);
  return { room, state: rooms.snapshotAt(snapshot, room.nid, position) };
}

/** Longest wait for the members of a partial-state room. */
const wholeMs = 120_000;

/**
 * Waits for the members of a partial-state room that the requester may read.
 * @throws M_FORBIDDEN at once; ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE when they are not known in time
 */
async function awaitMembers(parts: RoomStateRouteParts, roomId: string, asked: Asked): Promise<void> {
  const room = parts.db.read((snapshot) => {
    const { room: found } = readable(snapshot, parts, roomId, asked);
    return parts.rooms.isPartial(snapshot, found.nid) ? found.nid : undefined;
  });
  if (room === undefined) return;
  await parts.partial.awaitFull(room, AbortSignal.any([asked.signal, AbortSignal.timeout(wholeMs)]));
  if (parts.db.read((snapshot) => parts.rooms.isPartial(snapshot, room))) {
    throw unableDueToPartialState(503);
  }
}

const viewOf = ({ clock }: RoomStateRouteParts, { requester: { userId, deviceId } }: Asked): ClientView =>
  clientView({ userId, deviceId, now: clock.now() });

const stateRoute = (parts: RoomStateRouteParts): Route =>
  route({
    method: 'GET',
    path: `${base}/state`,
    auth: 'guest',
    rate: 'none',
    handle: async (asked) => {
      await awaitMembers(parts, asked.params.roomId, asked);
      return parts.db.snapshot(async (snapshot) => {
        const { state } = readable(snapshot, parts, asked.params.roomId, asked);
        const nids = parts.rooms.stateEntries(snapshot, state).map(({ event }) => event);
        return listText('', await clientEvents(snapshot, parts.rooms, nids, viewOf(parts, asked)), '');
      });
    },
  });

const stateEventRoute = (parts: RoomStateRouteParts): Route =>
  route({
    method: 'GET',
    path: `${base}/state/:eventType/:stateKey`,
    aliases: [`${base}/state/:eventType`],
    auth: 'guest',
    rate: 'none',
    query: formatQuery,
    handle: async (asked) => {
      const { rooms } = parts;
      const { roomId, eventType, stateKey } = asked.params;
      // Members are what a partial state lacks, even some of ours; the rest of it is as good as any.
      const isKnown = (snapshot: Snapshot): boolean => {
        const { state } = readable(snapshot, parts, roomId, asked);
        return parts.isLocal(stateKey) && rooms.stateEvent(snapshot, state, eventType, stateKey) !== 0;
      };
      if (eventType === 'm.room.member' && !parts.db.read(isKnown)) await awaitMembers(parts, roomId, asked);
      return parts.db.read((snapshot) => {
        const { state } = readable(snapshot, parts, roomId, asked);
        const event = rooms.event(snapshot, rooms.stateEvent(snapshot, state, eventType, stateKey));
        if (event === undefined) throw matrixError.notFound('The room has no such state');
        if (asked.query.format !== 'event') return new JsonText([contentText(event)]);
        return new JsonText([clientEvent(snapshot, rooms, event, viewOf(parts, asked))]);
      });
    },
  });

const membersRoute = (parts: RoomStateRouteParts): Route =>
  route({
    method: 'GET',
    path: `${base}/members`,
    auth: 'guest',
    rate: 'none',
    query: membersQuery,
    handle: async (asked) => {
      await awaitMembers(parts, asked.params.roomId, asked);
      return parts.db.snapshot(async (snapshot) => {
        const { at, membership: wanted, not_membership: unwanted } = asked.query;
        const position = at === undefined ? undefined : positionBefore(parseCut(at, 'at'));
        const { state } = readable(snapshot, parts, asked.params.roomId, asked, position);
        const nids = memberEvents(snapshot, parts.rooms, state);
        // "Either the membership is the same as membership or is not the same as not_membership."
        const keep = (event: StoredEvent): boolean => {
          if (wanted === undefined && unwanted === undefined) return true;
          const is = membershipOfEvent(event);
          return is === wanted || (unwanted !== undefined && is !== unwanted);
        };
        // Members are many: what each event replaced, and who was there then, is left to other endpoints.
        const view = { ...viewOf(parts, asked), previous: false, membership: false };
        const texts = await clientEvents(snapshot, parts.rooms, nids, view, keep);
        return listText('{"chunk":', texts, '}');
      });
    },
  });

const memberEvents = (snapshot: Snapshot, rooms: RoomCore, state: SnapshotNid): EventNid[] =>
  rooms.stateEntries(snapshot, state, 'm.room.member').map(({ event }) => event);

const joinedMembersRoute = (parts: RoomStateRouteParts): Route =>
  route({
    method: 'GET',
    path: `${base}/joined_members`,
    auth: 'user',
    rate: 'none',
    handle: async (asked) => {
      const { requester, params, shown } = asked;
      await awaitMembers(parts, params.roomId, asked);
      return parts.db.snapshot(async (snapshot) => {
        const { rooms } = parts;
        const room = findRoom(snapshot, rooms, params.roomId);
        if (rooms.membership(snapshot, room.nid, requester.userId)?.membership !== 'join') {
          throw matrixError.forbidden('You are not in this room');
        }
        shown.key(`room:${room.nid}`);
        return runSliced(joinedMembersText(snapshot, rooms, room.nid), new Slice());
      });
    },
  });

/** A room may have a hundred thousand of them: the answer is written as it is read. */
function* joinedMembersText(snapshot: Snapshot, rooms: RoomCore, room: RoomNid): Generator<void, JsonText> {
  const pages: string[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const { members, last } = rooms.joinedAfter(snapshot, room, after, membersAtOnce);
    const texts = members.flatMap(({ user, event: nid }) => {
      const event = rooms.event(snapshot, nid);
      return event === undefined ? [] : `${JSON.stringify(user)}:${JSON.stringify(profileIn(event))}`;
    });
    if (texts.length > 0) pages.push(`${pages.length === 0 ? '' : ','}${texts.join(',')}`);
    after = last;
    yield;
  }
  return new JsonText(['{"joined":{', ...pages, '}}']);
}

/** Both keys are always there: clients look for them, and take null for what is not set. */
function profileIn(event: StoredEvent): { display_name: string | null; avatar_url: string | null } {
  const content = contentOf(event);
  return {
    display_name: asString(memberOf(content, 'displayname')) ?? null,
    avatar_url: asString(memberOf(content, 'avatar_url')) ?? null,
  };
}

const eventRoute = (parts: RoomStateRouteParts): Route =>
  route({
    method: 'GET',
    path: `${base}/event/:eventId`,
    auth: 'guest',
    rate: 'none',
    handle: ({ requester: { userId, deviceId }, params, shown }) =>
      parts.db.read((snapshot) => {
        const { rooms, clock } = parts;
        const room = rooms.room(snapshot, params.roomId);
        const event = rooms.eventById(snapshot, params.eventId);
        // "The event was not found or you do not have permission to read this event."
        const served = event !== undefined && event.room === room?.nid && !event.rejected && !event.softFailed;
        if (!served || !rooms.mayView(snapshot, userId, event)) throw matrixError.notFound('Event not found');
        shown.key(`room:${room.nid}`);
        const now = clock.now();
        const ignored = parts.ignoredUsers(snapshot, userId);
        const bundle = createBundle(snapshot, rooms, { userId, deviceId, now, ignored });
        const view = clientView({ userId, deviceId, now, bundle });
        return new JsonText([clientEvent(snapshot, rooms, event, view)]);
      }),
  });

/** A JSON list of texts between what stands before and after it. */
function listText(before: string, texts: readonly string[], after: string): JsonText {
  const chunks = [`${before}[`];
  for (const [index, text] of texts.entries()) chunks.push(index === 0 ? text : `,${text}`);
  chunks.push(`]${after}`);
  return new JsonText(chunks);
}
