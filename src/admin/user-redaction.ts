/** Redacting what a user has sent: in the background, by the user himself where he is of this server. */
import * as v from 'valibot';
import { demandUserId, maybe, route, type Route } from '../http/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import { asArray, asInteger, asObject, asString, type JsonObject } from '../matrix/json.ts';
import type { Place, Room, RoomCore, StoredEvent } from '../roomserver/index.ts';
import { asPosition, type Database, type Position, type Snapshot } from '../storage/index.ts';
import type { Accounts } from '../userapi/index.ts';
import { v1 } from './common.ts';
import type { AdminTasks, TaskRun } from './tasks.ts';

export interface RedactionParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly accounts: Accounts;
}

const redaction = v.object({
  rooms: maybe(v.array(v.string())),
  reason: maybe(v.string()),
  limit: maybe(v.pipe(v.number(), v.safeInteger(), v.minValue(1, 'expected a number above 0'))),
  use_admin: maybe(v.boolean()),
});

/** Events redacted in one room unless told otherwise. */
const defaultLimit = 1000;
const pageSize = 200;
/** Redactions that share a commit. */
const atOnce = 16;

export function userRedactionRoutes({ db, tasks }: RedactionParts & { readonly tasks: AdminTasks }): Route[] {
  return [
    route({
      method: 'POST',
      path: `${v1}/user/:userId/redact`,
      auth: 'admin',
      rate: 'none',
      body: redaction,
      handle: async ({ requester, params, body }) => {
        const user = demandUserId(params.userId);
        const given = Object.entries(body).filter(([, value]) => value !== undefined);
        const request: JsonObject = Object.fromEntries(given) as JsonObject;
        return { redact_id: await tasks.start('redact_user', user, requester.userId, request) };
      },
    }),
    route({
      method: 'GET',
      path: `${v1}/user/redact_status/:redactId`,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => {
        const task = db.read((snapshot) => tasks.get(snapshot, params.redactId));
        if (task?.kind !== 'redact_user') throw matrixError.notFound('There is no such redaction');
        const { status, result, error } = task;
        const failed = asObject(result?.failed_redactions) ?? {};
        return { status, failed_redactions: failed, ...(error === undefined ? {} : { error }) };
      },
    }),
  ];
}

/** Runs such a task; what could not be redacted is told with its reason. */
export async function redactUser(parts: RedactionParts, { task, signal, keep }: TaskRun): Promise<void> {
  const { db, accounts } = parts;
  const { request } = task;
  const user = task.roomId as UserId;
  const sender = accounts.isLocal(user) && request.use_admin !== true ? user : (task.admin as UserId);
  const reason = asString(request.reason);
  const failed: Record<string, string> = {};
  for (const room of db.read((snapshot) => roomsOf(snapshot, parts, user, request))) {
    const wanted = eventsBy(parts, room, user, asInteger(request.limit) ?? defaultLimit, signal);
    for (let batch = wanted.next(); batch.done !== true && !signal.aborted; batch = wanted.next()) {
      const events = batch.value;
      for (let index = 0; index < events.length; index += atOnce) {
        const part = events.slice(index, index + atOnce);
        const works = part.map((event) => redact(parts, room, event, sender, reason, failed));
        await Promise.all(works);
      }
    }
    await db.write((tx) => keep(tx, { failed_redactions: failed }));
  }
}

function roomsOf(snapshot: Snapshot, { rooms }: RedactionParts, user: UserId, request: JsonObject): Room[] {
  const named = (asArray(request.rooms) ?? []).flatMap((id) => asString(id) ?? []);
  if (named.length > 0) return named.flatMap((id) => rooms.room(snapshot, id) ?? []);
  const nids = new Set([
    ...rooms.localMemberships(snapshot, user).map(({ room }) => room),
    ...rooms.joinedRooms(snapshot, user),
  ]);
  return [...nids].map((nid) => rooms.roomByNid(snapshot, nid));
}

/** What the user said in a room and what is not redacted yet, newest first, in pages. */
function* eventsBy(
  { db, rooms }: RedactionParts,
  room: Room,
  user: UserId,
  limit: number,
  signal: AbortSignal,
): Generator<StoredEvent[], undefined> {
  let upTo: Place | Position = asPosition(Number.MAX_SAFE_INTEGER);
  for (let left = limit; left > 0 && !signal.aborted;) {
    const end: Place | Position = upTo;
    const page: StoredEvent[] = db.read((snapshot) =>
      rooms.timelineBackward(snapshot, room.nid, end, asPosition(0), pageSize),
    );
    const last = page.at(-1)?.place;
    if (last === undefined) return undefined;
    const found = page
      .filter(({ sender, stateKey, redactedBy, type }) => {
        return sender === user && stateKey === null && redactedBy === 0 && type !== 'm.room.redaction';
      })
      .slice(0, left);
    left -= found.length;
    yield found;
    upTo = { ...last, nid: (last.nid - 1) as Place['nid'] };
  }
  return undefined;
}

async function redact(
  { db, rooms }: RedactionParts,
  room: Room,
  event: StoredEvent,
  sender: UserId,
  reason: string | undefined,
  failed: Record<string, string>,
): Promise<void> {
  const content = reason === undefined ? {} : { reason };
  const wish = { type: 'm.room.redaction', sender, content, redacts: event.eventId };
  try {
    await db.write((tx) => void rooms.send(tx, room, wish));
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    failed[event.eventId] = error.message;
  }
}
