/** Rows that delete: rooms, at once or in the background, and the history of rooms. */
import * as v from 'valibot';
import { demandRoomId, maybe, route, type Route } from '../http/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import { parseEventId, type UserId } from '../matrix/ids.ts';
import { asInteger, type JsonObject } from '../matrix/json.ts';
import {
  blockRoom,
  firstPlaceFrom,
  purgeHistory,
  type Perform,
  type Place,
  type PurgeParts,
  type Room,
} from '../roomserver/index.ts';
import { asPosition, type Snapshot } from '../storage/index.ts';
import type { Accounts } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { knownRoom, localUser, v1, v2 } from './common.ts';
import { untouched } from './room-deletion.ts';
import type { AdminTask, AdminTasks, TaskRun } from './tasks.ts';

export interface PurgeRouteParts extends PurgeParts {
  readonly perform: Perform;
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly tasks: AdminTasks;
}

const deletion = v.object({
  new_room_user_id: maybe(v.string()),
  room_name: maybe(v.string()),
  message: maybe(v.string()),
  block: maybe(v.boolean()),
  purge: maybe(v.boolean()),
  force_purge: maybe(v.boolean()),
});
type Deletion = v.InferOutput<typeof deletion>;

const history = v.object({
  delete_local_events: maybe(v.boolean()),
  purge_up_to_event_id: maybe(v.string()),
  purge_up_to_ts: maybe(v.pipe(v.number(), v.safeInteger(), v.minValue(0, 'expected no negative number'))),
});

export const purgeRoutes = (parts: PurgeRouteParts): Route[] => [
  ...deletionRoutes(parts),
  ...deletionStatusRoutes(parts),
  ...historyRoutes(parts),
];

function deletionRoutes(parts: PurgeRouteParts): Route[] {
  const { db, tasks } = parts;
  return [
    route({
      method: 'DELETE',
      path: `${v1}/rooms/:roomId`,
      auth: 'admin',
      rate: 'none',
      body: deletion,
      handle: async ({ requester, params, body }) => {
        const known = db.read((snapshot) => isKnown(parts, snapshot, params.roomId));
        if (!known && body.block !== true) throw new MatrixError(400, 'M_UNKNOWN', 'There is no such room');
        const id = await begin(parts, requester.userId, params.roomId, body, known);
        if (id === undefined) return untouched;
        await tasks.ended(id);
        const task = db.read((snapshot) => tasks.get(snapshot, id));
        if (task?.status === 'failed') throw matrixError.unknown(task.error);
        return task?.result ?? untouched;
      },
    }),
    route({
      method: 'DELETE',
      path: `${v2}/rooms/:roomId`,
      auth: 'admin',
      rate: 'none',
      body: deletion,
      handle: async ({ requester, params, body }) => {
        const known = db.read((snapshot) => isKnown(parts, snapshot, params.roomId));
        if (!known) throw matrixError.notFound('There is no such room');
        return { delete_id: await begin(parts, requester.userId, params.roomId, body, known) };
      },
    }),
  ];
}

/** Known, and not purged before. */
function isKnown({ rooms }: PurgeRouteParts, snapshot: Snapshot, roomId: string): boolean {
  const room = rooms.room(snapshot, roomId);
  return room !== undefined && rooms.currentSnapshot(snapshot, room.nid) !== 0;
}

/** Blocks the room, if wanted, and begins its deletion; the id of the task, undefined when there is nothing to delete. */
async function begin(
  parts: PurgeRouteParts,
  admin: UserId,
  text: string,
  body: Deletion,
  known: boolean,
): Promise<string | undefined> {
  const roomId = demandRoomId(text);
  if (body.new_room_user_id !== undefined) localUser(parts, body.new_room_user_id);
  if (body.block === true) await parts.db.write((tx) => blockRoom(tx, roomId, admin, parts.clock.now()));
  const request = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as JsonObject;
  return known ? parts.tasks.start('delete_room', roomId, admin, request) : undefined;
}

const deletionStatus = (task: AdminTask): JsonObject => ({
  delete_id: task.id,
  room_id: task.roomId,
  status: task.status,
  shutdown_room: task.result ?? untouched,
  ...(task.error === undefined ? {} : { error: task.error }),
});

function deletionStatusRoutes({ db, tasks }: PurgeRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${v2}/rooms/:roomId/delete_status`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => {
        const found = db.read((snapshot) => tasks.ofRoom(snapshot, params.roomId, 'delete_room'));
        if (found.length === 0) throw matrixError.notFound('No deletion of this room is known');
        return { results: found.map(deletionStatus) };
      },
    }),
    route({
      method: 'GET',
      path: `${v2}/rooms/delete_status/:deleteId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => {
        const task = db.read((snapshot) => tasks.get(snapshot, params.deleteId));
        if (task?.kind !== 'delete_room') throw matrixError.notFound('There is no such deletion');
        return deletionStatus(task);
      },
    }),
  ];
}

function historyRoutes(parts: PurgeRouteParts): Route[] {
  const { db, tasks } = parts;
  return [
    route({
      method: 'POST',
      path: `${v1}/purge_history/:roomId/:eventId`,
      aliases: [`${v1}/purge_history/:roomId`],
      auth: 'admin',
      rate: 'none',
      body: history,
      handle: async ({ requester, params, body }) => {
        const { roomId, before } = db.read((snapshot) => {
          const room = knownRoom(snapshot, parts, params.roomId);
          const eventId = params.eventId === '' ? body.purge_up_to_event_id : params.eventId;
          return { roomId: room.roomId, before: boundary(parts, snapshot, room, eventId, body.purge_up_to_ts) };
        });
        const request = { before: { ...before }, delete_local_events: body.delete_local_events ?? false };
        return { purge_id: await tasks.start('purge_history', roomId, requester.userId, request) };
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/purge_history_status/:purgeId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => {
        const task = db.read((snapshot) => tasks.get(snapshot, params.purgeId));
        if (task?.kind !== 'purge_history') throw matrixError.notFound('There is no such purge');
        const status = task.status === 'scheduled' ? 'active' : task.status;
        return { status, ...(task.error === undefined ? {} : { error: task.error }) };
      },
    }),
  ];
}

/** The place before which history goes. @throws M_NOT_FOUND, M_MISSING_PARAM, M_INVALID_PARAM */
function boundary(
  { rooms }: PurgeRouteParts,
  snapshot: Snapshot,
  room: Room,
  eventId: string | undefined,
  ts: number | undefined,
): Place {
  if (eventId !== undefined) {
    const event = parseEventId(eventId) === undefined ? undefined : rooms.eventById(snapshot, eventId);
    if (event === undefined || event.room !== room.nid)
      throw matrixError.notFound('There is no such event in the room');
    if (event.place === undefined) throw matrixError.invalidParam('The event stands in no timeline');
    return event.place;
  }
  if (ts === undefined) throw matrixError.missingParam('Missing: purge_up_to_event_id or purge_up_to_ts');
  const place = firstPlaceFrom(snapshot, rooms, room, ts) ?? rooms.forwardExtremities(snapshot, room.nid).at(-1)?.place;
  if (place === undefined) throw matrixError.notFound('There is nothing to purge');
  return place;
}

/** Runs a purge of history as it was asked for. */
export async function runHistoryPurge(parts: PurgeParts, { task, signal }: TaskRun): Promise<void> {
  const room = parts.db.read((snapshot) => parts.rooms.room(snapshot, task.roomId));
  const place = placeOf(task.request.before);
  if (room === undefined || place === undefined) throw new Error('The room or the place is not known');
  const keepOwn = task.request.delete_local_events !== true;
  await purgeHistory(parts, { room, before: place, keepOwn }, signal);
}

function placeOf(value: JsonObject[string]): Place | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const [slot, depth, nid] = [asInteger(value.slot), asInteger(value.depth), asInteger(value.nid)];
  if (slot === undefined || depth === undefined || nid === undefined) return undefined;
  return { slot: asPosition(slot), live: value.live === 1 ? 1 : 0, depth, nid: nid as Place['nid'] };
}
