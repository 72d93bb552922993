/** `m.typing` (S-S API v1.19 §Typing Notifications). */
import * as v from 'valibot';
import { isJoined, openRoom, readContent, userOf } from './checks.ts';
import type { EduKind, EduParts } from './index.ts';

const schema = v.object({ room_id: v.string(), user_id: v.string(), typing: v.boolean() });
/** The EDU names no time; servers say it again at least this often, in ms. */
const timeout = 60_000;

export const typingEdu =
  ({ db, rooms, users: { typing } }: EduParts): EduKind =>
  (origin, content) => {
    const edu = readContent(schema, content);
    const userId = edu && userOf(origin, edu.user_id);
    if (edu === undefined || userId === undefined) return;
    // "Receiving servers should verify that the user is in the room, and is a user belonging to the sending server."
    const room = db.read((snapshot) => {
      const found = openRoom(snapshot, rooms, edu.room_id, origin);
      return found !== undefined && isJoined(snapshot, rooms, found, userId, origin) ? found : undefined;
    });
    if (room === undefined) return;
    if (edu.typing) typing.start(room, userId, timeout);
    else typing.stop(room.nid, userId);
  };
