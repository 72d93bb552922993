/** Power levels of new rooms: the default content, and what becomes of an old room's content in its successor. */
import { parseLevel } from '../../matrix/auth-power-levels.ts';
import type { UserId } from '../../matrix/ids.ts';
import { type JsonObject, type JsonValue, isJsonObject } from '../../matrix/json.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';

/** Above `state_default`, as version 12 demands of tombstones: only creators replace the room. */
const tombstoneLevel = 150;
const adminLevel = 100;

/** Content of the power levels event that a new room starts with; `admins` are the creator and who is to equal him. */
export function defaultPowerLevels(
  rules: RoomVersionRules,
  admins: readonly UserId[],
  open: boolean,
): JsonObject & { users: JsonObject } {
  return {
    ban: 50,
    events: {
      'm.room.avatar': 50,
      'm.room.canonical_alias': 50,
      'm.room.encryption': adminLevel,
      'm.room.history_visibility': adminLevel,
      'm.room.name': 50,
      'm.room.power_levels': adminLevel,
      'm.room.server_acl': adminLevel,
      'm.room.tombstone': rules.privilegedCreators ? tombstoneLevel : adminLevel,
    },
    events_default: 0,
    // In rooms that nobody enters uninvited everybody may invite.
    invite: open ? 50 : 0,
    kick: 50,
    notifications: { room: 50 },
    redact: 50,
    state_default: 50,
    // Creators with privileges must not be listed: they stand above all levels.
    users: rules.privilegedCreators ? {} : Object.fromEntries(admins.map((user) => [user, adminLevel])),
    users_default: 0,
  };
}

/** Rewrites levels in notations that the new version does not admit, and drops those that mean nothing. */
export function convertLevels(content: JsonObject, from: RoomVersionRules, to: RoomVersionRules): JsonObject {
  if (from.powerLevelFormat === to.powerLevelFormat) return content;
  const convert = (value: JsonValue | undefined): JsonValue | undefined => parseLevel(value, from.powerLevelFormat);
  const entries = Object.entries(content).map(([key, value]) => {
    if (!isJsonObject(value)) return [key, convert(value)] as const;
    const levels = Object.entries(value).map(([name, level]) => [name, convert(level)] as const);
    return [key, Object.fromEntries(levels.filter(([, level]) => level !== undefined))] as const;
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

export interface Succession {
  /** The old room's content, in the new version's notation. */
  readonly content: JsonObject;
  readonly rules: RoomVersionRules;
  /** Creators of the new room: its maker first. */
  readonly creators: readonly UserId[];
  /** Who stood above the levels in the old room, or had 100 without being listed. */
  readonly unlistedAdmins: readonly UserId[];
}

/** The power levels of a successor room. */
export function successorLevels({ content, rules, creators, unlistedAdmins }: Succession): JsonObject {
  const users: JsonObject = { ...(isJsonObject(content.users) ? content.users : {}) };
  if (!rules.privilegedCreators) {
    for (const user of unlistedAdmins) users[user] = adminLevel;
    return { ...content, users };
  }
  for (const creator of creators) delete users[creator];
  const events = isJsonObject(content.events) ? content.events : {};
  const needed = Math.max(tombstoneLevel, levelOf(events['m.room.tombstone']), levelOf(content.state_default) + 1);
  return { ...content, users, events: { ...events, 'm.room.tombstone': needed } };
}

const levelOf = (value: JsonValue | undefined): number => (typeof value === 'number' ? value : 0);
