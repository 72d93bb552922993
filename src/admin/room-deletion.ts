/**
 * Shutting a room down: everybody here leaves it, perhaps for a new room that says why; aliases go along; then, if
 * wanted, all that is known of it is deleted. Each step can be done again, so that a restart in the middle does no harm.
 */
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import { asArray, asString, type JsonObject } from '../matrix/json.ts';
import { purgeRoom, type Perform, type PurgeParts, type Room } from '../roomserver/index.ts';
import type { Tx } from '../storage/index.ts';
import type { Accounts } from '../userapi/index.ts';
import type { TaskRun } from './tasks.ts';

export interface RoomDeletionParts extends PurgeParts {
  readonly perform: Perform;
  readonly accounts: Accounts;
}

/** What has become of a room, as administrators' tools read it. */
interface Shutdown {
  readonly kicked: Set<string>;
  readonly failed: Set<string>;
  aliases: string[];
  newRoomId: string | null;
}

const defaultName = 'This room has been closed';
const defaultMessage = 'The administrators of this server have closed the room that you were in.';
/** Users whose events share a commit. */
const usersAtOnce = 16;

/** Runs a deletion; the request is the body of `DELETE /rooms/{roomId}`. @throws Error when users could not be removed */
export async function deleteRoom(parts: RoomDeletionParts, { task, signal, keep }: TaskRun): Promise<void> {
  const { db, rooms } = parts;
  const room = db.read((snapshot) => rooms.room(snapshot, task.roomId));
  if (room === undefined) throw matrixError.notFound('There is no such room');
  const { request } = task;
  const shutdown = shutdownOf(task.result ?? {});
  const save = (tx: Tx): void => keep(tx, shutdownBody(shutdown));
  await openNewRoom(parts, request, shutdown, save);
  await removeUsers(parts, room, shutdown, save, signal);
  await db.write((tx) => {
    moveAliases(tx, parts, room, shutdown);
    save(tx);
  });
  if (request.purge === false || signal.aborted) return;
  if (shutdown.failed.size > 0 && request.force_purge !== true) {
    throw new Error('Users could not be removed from the room, so it was not purged');
  }
  await purgeRoom(parts, room, [...shutdown.kicked] as UserId[], signal);
}

async function openNewRoom(
  { db, rooms, perform }: RoomDeletionParts,
  request: JsonObject,
  shutdown: Shutdown,
  save: (tx: Tx) => void,
): Promise<void> {
  const userId = asString(request.new_room_user_id) as UserId | undefined;
  if (userId === undefined || shutdown.newRoomId !== null) return;
  const sender = { userId, isGuest: false, isAdmin: true, isSuspended: false };
  const wish = {
    preset: 'public_chat' as const,
    name: asString(request.room_name) ?? defaultName,
    // Who is moved there may read and not speak.
    power_level_content_override: { users_default: -10 },
  };
  await db.write((tx) => {
    const created = perform.creation.create(tx, wish, sender);
    const body = asString(request.message) ?? defaultMessage;
    rooms.send(tx, created, { type: 'm.room.message', sender: userId, content: { msgtype: 'm.text', body } });
    shutdown.newRoomId = created.roomId;
    save(tx);
  });
}

/** Local users who are in a room, are invited, or ask to come in. */
function usersIn({ db, rooms, accounts }: RoomDeletionParts, room: Room): UserId[] {
  return db.read((snapshot) =>
    (['join', 'invite', 'knock'] as const)
      .flatMap((membership) => rooms.members(snapshot, room.nid, membership))
      .map(({ user }) => user)
      .filter((user) => accounts.isLocal(user)),
  );
}

async function removeUsers(
  parts: RoomDeletionParts,
  room: Room,
  shutdown: Shutdown,
  save: (tx: Tx) => void,
  signal: AbortSignal,
): Promise<void> {
  const users = usersIn(parts, room);
  for (let index = 0; index < users.length && !signal.aborted; index += usersAtOnce) {
    const batch = users.slice(index, index + usersAtOnce);
    await Promise.all(batch.map((user) => removeUser(parts, room, user, shutdown)));
    await parts.db.write(save);
  }
}

async function removeUser(parts: RoomDeletionParts, room: Room, user: UserId, shutdown: Shutdown): Promise<void> {
  const { db, rooms, perform } = parts;
  try {
    await db.write((tx) => perform.memberships.leave(tx, { room, sender: user }));
    shutdown.kicked.add(user);
    shutdown.failed.delete(user);
    await db.write((tx) => {
      const target = rooms.room(tx, shutdown.newRoomId ?? '');
      if (target !== undefined) perform.joining.join(tx, { room: target, user, isGuest: false });
    });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    if (!shutdown.kicked.has(user)) shutdown.failed.add(user);
  }
}

function moveAliases(tx: Tx, { rooms, perform }: RoomDeletionParts, room: Room, shutdown: Shutdown): void {
  const { aliases } = perform;
  const names = aliases.aliasesOf(tx, room.nid);
  const target = rooms.room(tx, shutdown.newRoomId ?? '');
  if (target === undefined) aliases.removeAll(tx, room);
  else aliases.move(tx, room, target);
  if (target !== undefined) shutdown.aliases = [...new Set([...shutdown.aliases, ...names])];
  aliases.setPublished(tx, room, false);
}

const texts = (value: unknown): string[] => (asArray(value) ?? []).flatMap((one) => asString(one) ?? []);

const shutdownOf = (result: JsonObject): Shutdown => ({
  kicked: new Set(texts(result.kicked_users)),
  failed: new Set(texts(result.failed_to_kick_users)),
  aliases: texts(result.local_aliases),
  newRoomId: asString(result.new_room_id) ?? null,
});

/** As the endpoints tell it. */
const shutdownBody = ({ kicked, failed, aliases, newRoomId }: Shutdown): JsonObject => ({
  kicked_users: [...kicked],
  failed_to_kick_users: [...failed],
  local_aliases: aliases,
  new_room_id: newRoomId,
});

/** Before anything has been done. */
export const untouched: JsonObject = shutdownBody(shutdownOf({}));
