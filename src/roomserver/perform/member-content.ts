/** Content of member events that this server makes. */
import type { UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { Membership } from '../types.ts';
import type { RoomUsers } from './users.ts';

export interface MemberWish {
  readonly membership: Membership;
  readonly target: UserId;
  readonly reason?: string | undefined;
  /** What a client wants in it besides. */
  readonly content?: JsonObject | undefined;
}

/**
 * "When homeservers emit room membership events for their own users, they should include the display name and avatar URL
 * fields": for joins, invites and knocks, below what the client has chosen. The server alone names authorising users.
 */
export function memberContent(snapshot: Snapshot, users: RoomUsers, wish: MemberWish): JsonObject {
  const { membership, target, reason } = wish;
  const present = membership !== 'leave' && membership !== 'ban';
  const profile = present && users.isLocal(target) ? users.profileOf(snapshot, target) : {};
  const content: JsonObject = {};
  if (profile.displayname !== undefined) content.displayname = profile.displayname;
  if (profile.avatar_url !== undefined) content.avatar_url = profile.avatar_url;
  Object.assign(content, wish.content, { membership });
  delete content.join_authorised_via_users_server;
  if (reason !== undefined) content.reason = reason;
  return content;
}
