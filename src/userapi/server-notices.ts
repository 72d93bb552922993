/**
 * Server notices (C-S API v1.19 §Server Notices): what this server has to say to a user, in one room per user that is
 * made with the first notice. The user is invited, not joined; he may leave, and is invited again with the next notice.
 */
import type { Config } from '../config/index.ts';
import { MatrixError } from '../matrix/errors.ts';
import { formatUserId, type RoomId, type ServerName, type UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Perform, Room, RoomReader, Sender, StoredEvent } from '../roomserver/index.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';
import type { AccountData } from './account-data.ts';
import type { Accounts } from './accounts.ts';
import type { Profiles } from './profiles.ts';

const selectRoom = sql<[userId: string], { room_id: RoomId }>(
  'SELECT room_id FROM userapi_notice_rooms WHERE user_id = ?',
);
const upsertRoom = sql<[userId: string, roomId: string]>(
  `INSERT INTO userapi_notice_rooms (user_id, room_id) VALUES (?, ?)
   ON CONFLICT DO UPDATE SET room_id = excluded.room_id`,
);

/** The user's server notices room; undefined until he is sent the first notice. */
export const noticeRoomOf = (snapshot: Snapshot, userId: UserId): RoomId | undefined =>
  snapshot.get(selectRoom, userId)?.room_id;

/** The user who sends the notices; nobody can register as him. */
export function noticeSender({ localpart }: Config['serverNotices'], serverName: ServerName): UserId {
  const userId = formatUserId(localpart, serverName);
  if (userId === undefined) throw new Error('server_notices.localpart makes no user id');
  return userId;
}

export interface ServerNoticesParts {
  readonly rooms: RoomReader;
  readonly perform: Perform;
  readonly accounts: Accounts;
  readonly accountData: AccountData;
  readonly profiles: Profiles;
  readonly serverName: ServerName;
  readonly config: Config['serverNotices'];
}

export interface ServerNotice {
  readonly userId: UserId;
  readonly content: JsonObject;
  /** Default `m.room.message`. */
  readonly type?: string | undefined;
  /** Makes it a state event. */
  readonly stateKey?: string | undefined;
}

export class ServerNotices {
  readonly #parts: ServerNoticesParts;
  readonly #sender: UserId;

  constructor(parts: ServerNoticesParts) {
    this.#parts = parts;
    this.#sender = noticeSender(parts.config, parts.serverName);
  }

  /** Sends a notice to a user of this server; for administrators only. @throws M_NOT_FOUND, M_BAD_JSON, M_TOO_LARGE */
  send(tx: Tx, { userId, content, type = 'm.room.message', stateKey }: ServerNotice): StoredEvent {
    this.#parts.accounts.demandActive(tx, userId);
    const sender = this.#speaker(tx);
    const room = this.#roomFor(tx, userId, sender);
    this.#invite(tx, room, userId);
    const { sending } = this.#parts.perform;
    return stateKey === undefined
      ? sending.message(tx, room, type, content, sender)
      : sending.state(tx, room, { type, stateKey, content }, sender);
  }

  #speaker(tx: Tx): Sender {
    const { accounts, profiles, config } = this.#parts;
    if (accounts.get(tx, this.#sender) === undefined) accounts.create(tx, { userId: this.#sender });
    profiles.set(tx, this.#sender, 'displayname', config.displayName);
    if (config.avatarUrl !== undefined) profiles.set(tx, this.#sender, 'avatar_url', config.avatarUrl);
    return { userId: this.#sender, isGuest: false, isAdmin: false, isSuspended: false };
  }

  /** "Servers should manage exactly 1 server notices room per user." */
  #roomFor(tx: Tx, userId: UserId, sender: Sender): Room {
    const { rooms, perform, accountData, config } = this.#parts;
    const known = rooms.room(tx, noticeRoomOf(tx, userId) ?? '');
    if (known !== undefined && rooms.membership(tx, known.nid, sender.userId)?.membership === 'join') return known;
    const { avatarUrl: url } = config;
    const avatar = url === undefined ? [] : [{ type: 'm.room.avatar', content: { url } }];
    const room = perform.creation.create(
      tx,
      {
        preset: 'private_chat',
        name: config.roomName,
        creation_content: { 'm.federate': false },
        power_level_content_override: { users_default: -10 },
        initial_state: [{ type: 'm.room.guest_access', content: { guest_access: 'forbidden' } }, ...avatar],
      },
      sender,
    );
    tx.run(upsertRoom, userId, room.roomId);
    // "Servers must identify this room to clients with the m.server_notice tag."
    accountData.setTag(tx, userId, room.roomId, 'm.server_notice', {});
    return room;
  }

  /** "Servers should invite the target user rather than automatically join them to the server notice room." */
  #invite(tx: Tx, room: Room, target: UserId): void {
    const { rooms, perform } = this.#parts;
    const membership = rooms.membership(tx, room.nid, target)?.membership;
    if (membership === 'join' || membership === 'invite') return;
    try {
      perform.memberships.invite(tx, { room, sender: this.#sender, target });
    } catch (error) {
      // Who takes no invites from people is still spoken to by the server.
      if (!(error instanceof MatrixError) || error.errcode !== 'M_INVITE_BLOCKED') throw error;
    }
  }
}
