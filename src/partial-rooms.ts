/** What an operator can ask and do about rooms that were joined without their members. */
import type { PartialWish } from './app-interface.ts';
import type { Modules } from './modules.ts';
import type { PartialProgress } from './roomserver/index.ts';

const minuteMs = 60_000;

/** Lists, retries or aborts, and prints what there is to say. @throws Error in one sentence for a room that is not partial */
export async function managePartialRooms(
  { db, rooms, remote, perform, clock }: Modules,
  { action, roomId }: PartialWish,
  print: (line: string) => void,
): Promise<void> {
  const all = db.read((snapshot) => remote.partial.progress(snapshot));
  const chosen = roomId === undefined ? all : all.filter((room) => room.roomId === roomId);
  if (roomId !== undefined && chosen.length === 0)
    throw new Error(`${roomId} is not a room that waits for its members.`);
  const room = roomId === undefined ? undefined : db.read((snapshot) => rooms.room(snapshot, roomId));
  switch (action) {
    case 'list':
      for (const progress of chosen) print(lineOf(progress, clock.now()));
      if (chosen.length === 0) print('No room waits for its members.');
      return;
    case 'retry':
      remote.partial.nudge(room?.nid);
      print(`Trying again: ${chosen.map((progress) => progress.roomId).join(', ') || 'no room waits'}.`);
      return;
    case 'abort':
      if (room === undefined) return;
      // Who aborts a join leaves the room: with its last local user gone nobody needs its members.
      await db.write((tx) => {
        for (const sender of rooms.joinedLocalUsers(tx, room.nid)) perform.memberships.leave(tx, { room, sender });
      });
      print(`The users of this server have left ${room.roomId}; its members are not fetched any more.`);
  }
}

function lineOf(
  { roomId, since, joinedVia, done, total, attempts, nextAttempt, failure }: PartialProgress,
  now: number,
): string {
  const parts = [
    roomId,
    `for ${Math.max(0, Math.round((now - since) / minuteMs))} min`,
    `via ${joinedVia}`,
    `${done} of ${total} events`,
  ];
  if (failure !== undefined) {
    const seconds = Math.max(0, Math.ceil((nextAttempt - now) / 1000));
    parts.push(`${attempts} failed, next in ${seconds} s: ${failure}`);
  }
  return parts.join('  ');
}
