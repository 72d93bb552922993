/** `m.presence` (S-S API v1.19 §Presence): of users who share a room with one of ours; others are nobody's business. */
import * as v from 'valibot';
import { Slice } from '../../util/slice.ts';
import { readContent, safeInteger, userOf } from './checks.ts';
import type { EduKind, EduParts } from './index.ts';

const maxUpdates = 1000;
const maxStatus = 1024;
const schema = v.object({ push: v.array(v.unknown()) });
const updateSchema = v.object({
  user_id: v.string(),
  presence: v.picklist(['offline', 'unavailable', 'online']),
  status_msg: v.optional(v.nullable(v.string())),
  // Required, and yet left out by servers for who was never active.
  last_active_ago: v.optional(v.nullable(safeInteger)),
  currently_active: v.optional(v.nullable(v.boolean())),
});

export const presenceEdu =
  ({ db, rooms, users: { presence }, remoteUsers: { lists } }: EduParts): EduKind =>
  async (origin, content) => {
    const slice = new Slice();
    for (const each of readContent(schema, content)?.push.slice(0, maxUpdates) ?? []) {
      await slice.tick();
      const update = readContent(updateSchema, each);
      const userId = update && userOf(origin, update.user_id);
      if (update === undefined || userId === undefined) continue;
      const concernsUs = db.read(
        (snapshot) => lists.isShared(snapshot, userId) || rooms.presumedRooms(snapshot, userId).length > 0,
      );
      if (!concernsUs) continue;
      const ago = update.last_active_ago ?? undefined;
      presence.hear(userId, {
        state: update.presence,
        statusMsg: update.status_msg?.slice(0, maxStatus),
        lastActiveAgo: ago === undefined ? undefined : Math.max(0, ago),
        currentlyActive: update.currently_active ?? false,
      });
    }
  };
