/**
 * Inviting by third-party identifier (C-S API v1.19 §Third-party invites): who has a Matrix id is invited, for anyone
 * else the identity server keeps the invite, and the room an m.room.third_party_invite event.
 */
import * as v from 'valibot';
import { matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import { isJsonObject, memberOf, type JsonObject } from '../../matrix/json.ts';
import {
  contentOf,
  findRoom,
  type RemoteMemberships,
  type Perform,
  type RoomCore,
  type Sender,
} from '../../roomserver/index.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import { canonicalThreepid, type IdentityServers, type Profiles } from '../../userapi/index.ts';

export interface EmailInviteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly memberships: RemoteMemberships;
  readonly identity: IdentityServers;
  readonly profiles: Profiles;
}

export const invite3pid = v.object({
  id_server: v.string(),
  id_access_token: v.string(),
  medium: v.string(),
  address: v.string(),
});
export type Invite3pid = v.InferOutput<typeof invite3pid>;

/** The user behind the identifier, if it has one. @throws M_THREEPID_MEDIUM_NOT_SUPPORTED, what the identity server says */
export function lookUp({ identity }: EmailInviteParts, invite: Invite3pid): Promise<UserId | undefined> {
  if (invite.medium !== 'email') throw matrixError.threepidMediumNotSupported();
  return identity.lookUp(invite.id_server, invite.id_access_token, canonicalThreepid(invite));
}

/** Invites an identifier to a room. @throws M_FORBIDDEN, M_THREEPID_MEDIUM_NOT_SUPPORTED, what the identity server says */
export async function inviteByThreepid(
  parts: EmailInviteParts,
  roomId: string,
  sender: Sender,
  invite: Invite3pid,
  reason?: string,
): Promise<void> {
  const { db, rooms, perform, memberships } = parts;
  // Who may not invite learns of no user and sends no mail.
  db.read((snapshot) => {
    perform.memberships.demandRightToInvite(snapshot, findRoom(snapshot, rooms, roomId), sender.userId);
  });
  const target = await lookUp(parts, invite);
  if (target === undefined) return storeInvite(parts, roomId, sender, invite);
  await memberships.invite({ roomId, sender: sender.userId, target, reason });
}

/** Leaves the invite with the identity server and its proof in the room. */
export async function storeInvite(
  parts: EmailInviteParts,
  roomId: string,
  sender: Sender,
  invite: Invite3pid,
): Promise<void> {
  const { db, rooms, perform, identity } = parts;
  const about = db.read((snapshot) => describe(parts, snapshot, roomId, sender.userId));
  const { medium, address } = canonicalThreepid(invite);
  const body = { medium, address, room_id: roomId, sender: sender.userId, ...about };
  const stored = await identity.storeInvite(invite.id_server, invite.id_access_token, body);
  const [first] = stored.publicKeys;
  if (first === undefined) return;
  const content = {
    display_name: stored.displayName,
    key_validity_url: first.validityUrl,
    public_key: first.publicKey,
    public_keys: stored.publicKeys.map(({ publicKey, validityUrl }) => ({
      public_key: publicKey,
      key_validity_url: validityUrl,
    })),
  };
  await db.write((tx) => {
    const wish = { type: 'm.room.third_party_invite', stateKey: stored.token, content };
    perform.sending.state(tx, findRoom(tx, rooms, roomId), wish, sender);
  });
}

/** What the mail of the identity server may tell of room and sender. */
function describe(parts: EmailInviteParts, snapshot: Snapshot, roomId: string, sender: UserId): JsonObject {
  const { rooms, profiles } = parts;
  const room = findRoom(snapshot, rooms, roomId);
  const stateText = (type: string, key: string): string | undefined => {
    const event = rooms.currentEvent(snapshot, room.nid, type, '');
    const stored = event === undefined ? undefined : rooms.event(snapshot, event.nid);
    const value = stored === undefined ? undefined : memberOf(contentOf(stored), key);
    return typeof value === 'string' ? value : undefined;
  };
  const profile = profiles.ofMember(snapshot, sender);
  const all: Record<string, unknown> = {
    room_name: stateText('m.room.name', 'name'),
    room_alias: stateText('m.room.canonical_alias', 'alias'),
    room_avatar_url: stateText('m.room.avatar', 'url'),
    room_join_rules: stateText('m.room.join_rules', 'join_rule'),
    room_type: stateText('m.room.create', 'type'),
    sender_display_name: memberOf(profile, 'displayname'),
    sender_avatar_url: memberOf(profile, 'avatar_url'),
  };
  const known = Object.fromEntries(Object.entries(all).filter(([, value]) => typeof value === 'string'));
  return isJsonObject(known) ? known : {};
}
