/**
 * Room upgrades (C-S API v1.19 §Room Upgrades), all six steps in one transaction: permission, replacement room, state,
 * aliases, tombstone, restriction of the old room.
 */
import { type PowerLevels, levelFor, levelToSend, powerLevelOf } from '../../matrix/auth-power-levels.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { RoomId, UserId } from '../../matrix/ids.ts';
import { type JsonObject, asString, isJsonObject } from '../../matrix/json.ts';
import { type RoomVersionRules, roomVersions } from '../../matrix/room-versions.ts';
import { asPosition, type Tx } from '../../storage/index.ts';
import type { RoomCore } from '../core.ts';
import { currentContent, currentLevels } from '../query/room-auth.ts';
import type { Room } from '../types.ts';
import type { RoomAliases } from './alias.ts';
import { userIds } from './create-room.ts';
import { memberContent } from './member-content.ts';
import { convertLevels, defaultPowerLevels, successorLevels } from './power-levels.ts';
import type { RoomUsers } from './users.ts';

export interface Upgrade {
  readonly room: Room;
  readonly user: UserId;
  readonly newVersion: string;
  readonly additionalCreators: readonly string[];
}

/** The recommended state events; power levels and the canonical alias go ways of their own. */
const transferred = [
  'm.room.server_acl',
  'm.room.encryption',
  'm.room.name',
  'm.room.avatar',
  'm.room.topic',
  'm.room.guest_access',
  'm.room.history_visibility',
  'm.room.join_rules',
];

/** What the old room left to the default, the new one says: servers differ in what they put there. */
const defaults: Readonly<Record<string, JsonObject>> = { 'm.room.guest_access': { guest_access: 'forbidden' } };

export class RoomUpgrades {
  readonly #rooms: RoomCore;
  readonly #users: RoomUsers;
  readonly #aliases: RoomAliases;

  constructor(rooms: RoomCore, users: RoomUsers, aliases: RoomAliases) {
    this.#rooms = rooms;
    this.#users = users;
    this.#aliases = aliases;
  }

  /** Replaces a room by a new one of another version. @throws M_UNSUPPORTED_ROOM_VERSION, M_FORBIDDEN, M_INVALID_PARAM */
  upgrade(tx: Tx, { room: old, user, newVersion, additionalCreators }: Upgrade): Room {
    const rules = roomVersions.get(newVersion);
    if (rules === undefined) throw matrixError.unsupportedRoomVersion();
    const levels = currentLevels(tx, this.#rooms, old);
    this.#checkPermission(tx, old, user, levels);
    const creators = rules.privilegedCreators ? userIds(additionalCreators, 'additional_creators') : [];
    const others = creators.filter((creator) => creator !== user);
    // Where the new room's id can be known before, the tombstone is the last event that the new room knows of.
    const roomId = rules.roomIdIsCreateHash ? undefined : this.#rooms.newRoomId();
    if (roomId !== undefined) this.#close(tx, old, user, roomId);
    const content = this.#createContent(tx, old, rules, others);
    const fresh = this.#rooms.createRoom(tx, { version: rules.version, sender: user, content, roomId });
    if (roomId === undefined) this.#close(tx, old, user, fresh.roomId);
    this.#fill(tx, old, fresh, user, [user, ...others], levels);
    this.#moveAliases(tx, old, fresh, user);
    this.#restrict(tx, old, user, levels);
    this.#users.followUpgrade(tx, user, old.roomId, fresh.roomId);
    return fresh;
  }

  /** Step 1: "Checks that the user has permission to send m.room.tombstone events in the room." */
  #checkPermission(tx: Tx, room: Room, user: UserId, levels: PowerLevels): void {
    const joined = this.#rooms.membership(tx, room.nid, user)?.membership === 'join';
    if (joined && powerLevelOf(user, levels) >= levelToSend('m.room.tombstone', true, levels)) return;
    throw matrixError.forbidden('You may not upgrade this room');
  }

  /** Step 2; who may federate with the old room may with the new one. */
  #createContent(tx: Tx, old: Room, rules: RoomVersionRules, additionalCreators: readonly UserId[]): JsonObject {
    const create = currentContent(tx, this.#rooms, old, 'm.room.create') ?? {};
    const predecessor: JsonObject = { room_id: old.roomId };
    // The tombstone, where it is there before the new room: "It SHOULD still be populated where possible/practical."
    if (!rules.roomIdIsCreateHash) {
      const end = this.#rooms.lastPosition(tx, old.nid);
      const [last] = this.#rooms.timelineBackward(tx, old.nid, end, asPosition(0), 1);
      if (last !== undefined) predecessor.event_id = last.eventId;
    }
    const content: JsonObject = { predecessor };
    const type = asString(create.type);
    if (type !== undefined) content.type = type;
    if (!old.federate) content['m.federate'] = false;
    if (additionalCreators.length > 0) content.additional_creators = [...additionalCreators];
    return content;
  }

  /** Step 3: members, levels, the transferable state, bans. */
  #fill(tx: Tx, old: Room, fresh: Room, user: UserId, creators: readonly UserId[], oldLevels: PowerLevels): void {
    const content = memberContent(tx, this.#users, { membership: 'join', target: user });
    this.#set(tx, fresh, user, 'm.room.member', content, user);
    const levels = this.#newLevels(tx, old, fresh.rules, creators, oldLevels);
    const first = withRights(levels, fresh.rules, user);
    this.#set(tx, fresh, user, 'm.room.power_levels', first);
    for (const type of transferred) {
      const state = currentContent(tx, this.#rooms, old, type) ?? defaults[type];
      if (state !== undefined) this.#set(tx, fresh, user, type, state);
    }
    this.#copyChildren(tx, old, fresh, user);
    this.#copyBans(tx, old, fresh, user);
    if (first !== levels) this.#set(tx, fresh, user, 'm.room.power_levels', levels);
  }

  #newLevels(
    tx: Tx,
    old: Room,
    rules: RoomVersionRules,
    creators: readonly UserId[],
    { privileged, soleAdmin }: PowerLevels,
  ): JsonObject {
    const current = currentContent(tx, this.#rooms, old, 'm.room.power_levels');
    const content =
      current === undefined ? defaultPowerLevels(rules, creators, false) : convertLevels(current, old.rules, rules);
    const unlistedAdmins = [...privileged, ...(soleAdmin === undefined ? [] : [soleAdmin])] as UserId[];
    return successorLevels({ content, rules, creators, unlistedAdmins });
  }

  /** A space without its children would be empty. */
  #copyChildren(tx: Tx, old: Room, fresh: Room, user: UserId): void {
    for (const { type, stateKey, event } of this.#rooms.currentState(tx, old.nid, 'm.space.child')) {
      const { content } = this.#rooms.roomEvent(tx, event);
      if (Object.keys(content).length > 0) this.#set(tx, fresh, user, type, content, stateKey);
    }
  }

  /** Who was banned stays banned: of all memberships only these can be set for others. */
  #copyBans(tx: Tx, old: Room, fresh: Room, user: UserId): void {
    for (const { user: target, event } of this.#rooms.members(tx, old.nid, 'ban')) {
      const reason = asString(this.#rooms.roomEvent(tx, event).content.reason);
      const content = memberContent(tx, this.#users, { membership: 'ban', target, reason });
      this.#try(() => this.#set(tx, fresh, user, 'm.room.member', content, target));
    }
  }

  /** Step 4: "Moves any local aliases to the new room", the canonical one and the place in the directory with them. */
  #moveAliases(tx: Tx, old: Room, fresh: Room, user: UserId): void {
    const moved = new Set<string>(this.#aliases.aliasesOf(tx, old.nid));
    const canonical = currentContent(tx, this.#rooms, old, 'm.room.canonical_alias');
    this.#aliases.followUpgrade(tx, old, fresh);
    if (canonical !== undefined) {
      this.#try(() => this.#set(tx, fresh, user, 'm.room.canonical_alias', canonical));
      this.#try(() => this.#aliases.withdraw(tx, old, user, moved));
    }
  }

  /** Step 5. */
  #close(tx: Tx, room: Room, user: UserId, replacement: RoomId): void {
    const body = 'This room has been replaced';
    this.#set(tx, room, user, 'm.room.tombstone', { body, replacement_room: replacement });
  }

  /** Step 6: `events_default` and `invite` become the greater of 50 and `users_default + 1`, "if possible". */
  #restrict(tx: Tx, old: Room, user: UserId, levels: PowerLevels): void {
    const content = currentContent(tx, this.#rooms, old, 'm.room.power_levels');
    if (content === undefined) return;
    const floor = Math.max(50, levelFor('users_default', levels) + 1);
    const restricted: JsonObject = {
      ...content,
      events_default: Math.max(floor, levelFor('events_default', levels)),
      invite: Math.max(floor, levelFor('invite', levels)),
    };
    this.#try(() => this.#set(tx, old, user, 'm.room.power_levels', restricted));
  }

  #set(tx: Tx, room: Room, sender: UserId, type: string, content: JsonObject, stateKey = ''): void {
    this.#rooms.send(tx, room, { type, stateKey, sender, content });
  }

  /** Does what would be good to do, unless the room forbids it. */
  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error;
    }
  }
}

/**
 * Levels under which the new room's maker can set everything up; the same object when he already can. (An upgrade takes
 * the level for tombstones only, which may be less than what other state takes.)
 */
function withRights(levels: JsonObject, rules: RoomVersionRules, user: UserId): JsonObject {
  if (rules.privilegedCreators) return levels;
  const users = isJsonObject(levels.users) ? levels.users : {};
  const number = (value: unknown, fallback: number): number => (typeof value === 'number' ? value : fallback);
  const events = isJsonObject(levels.events) ? Object.values(levels.events) : [];
  const needed = Math.max(
    number(levels.state_default, 50),
    number(levels.ban, 50),
    ...events.map((level) => number(level, 0)),
  );
  const own = number(users[user], number(levels.users_default, 0));
  return own >= needed ? levels : { ...levels, users: { ...users, [user]: needed } };
}
