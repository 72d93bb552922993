/**
 * Power levels: how the levels in `m.room.power_levels` are read in each room version, which defaults apply, who the
 * creators are, and the auth rule that judges a change of them (rule 10 of versions 1 and 12, 9 of versions 6–11).
 * Levels are numbers; a creator of a version 12 room has `Infinity`.
 */
import type { AuthEvent, AuthState, AuthVerdict } from './auth-types.ts';
import { allow, reject } from './auth-types.ts';
import { parseUserId, serverNameOf } from './ids.ts';
import type { UserId } from './ids.ts';
import { type JsonObject, type JsonValue, asString, isJsonObject, memberOf, numericValue } from './json.ts';
import type { RoomVersionRules } from './room-versions.ts';

type LevelFormat = RoomVersionRules['powerLevelFormat'];

/** Levels that stand directly in `content`, with what they are when absent (also when the room has no such event). */
const scalarDefaults = {
  users_default: 0,
  events_default: 0,
  state_default: 50,
  ban: 50,
  redact: 50,
  kick: 50,
  invite: 0,
} as const;
export type LevelName = keyof typeof scalarDefaults;
// The keys of a literal, which Object.keys does not tell the compiler.
const scalarNames = Object.keys(scalarDefaults) as LevelName[];

type LevelMap = ReadonlyMap<string, number>;
const noLevels: LevelMap = new Map();

/** The levels of one power levels event, as far as they can be read. */
interface LevelTable {
  readonly scalars: LevelMap;
  readonly users: LevelMap;
  readonly events: LevelMap;
  readonly notifications: LevelMap;
  /** What of it cannot be read, if anything. */
  readonly fault: string | undefined;
}
const emptyTable: LevelTable = {
  scalars: noLevels,
  users: noLevels,
  events: noLevels,
  notifications: noLevels,
  fault: undefined,
};

/** The levels in force in a room. */
export interface PowerLevels {
  readonly table: LevelTable;
  /** Users above every level (version 12 on). */
  readonly privileged: ReadonlySet<string>;
  /** Who has 100 because there is no power levels event (versions 1–11). */
  readonly soleAdmin: string | undefined;
}

const decimal = /^\s*[+-]?\d+\s*$/;

/** A level as a number; undefined when this format does not admit the value (§ power levels as strings, as floats). */
export function parseLevel(value: JsonValue | undefined, format: LevelFormat): number | undefined {
  if (format === 'integer') return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
  // A base 10 integer, signed or padded with spaces and zeroes.
  if (typeof value === 'string') return decimal.test(value) ? finite(Number(value)) : undefined;
  const number = numericValue(value);
  if (number === undefined) return undefined;
  // Floats lose what stands behind the point; what no double can hold makes the event invalid.
  if (format === 'loose') return finite(Math.trunc(Number(number)));
  return Number.isInteger(Number(number)) ? Number(number) : undefined;
}

const finite = (level: number): number | undefined => (Number.isFinite(level) ? level : undefined);

// Levels are read for every event of a resolution: once per content is enough, as contents never change.
const tables: Record<LevelFormat, WeakMap<JsonObject, LevelTable>> = {
  loose: new WeakMap(),
  'integer-or-string': new WeakMap(),
  integer: new WeakMap(),
};

function levelTable(content: JsonObject, format: LevelFormat): LevelTable {
  const known = tables[format].get(content);
  if (known !== undefined) return known;
  const table = readLevelTable(content, format);
  tables[format].set(content, table);
  return table;
}

function readLevelTable(content: JsonObject, format: LevelFormat): LevelTable {
  let fault: string | undefined;
  const complain = (what: string): void => {
    fault ??= what;
  };
  const scalars = new Map<string, number>();
  for (const name of scalarNames) {
    const value = memberOf(content, name);
    if (value === undefined) continue;
    const level = parseLevel(value, format);
    if (level === undefined) complain(`${name} is not a valid level`);
    else scalars.set(name, level);
  }
  const readMap = (name: string): LevelMap => {
    const value = memberOf(content, name);
    if (value === undefined) return noLevels;
    const levels = new Map<string, number>();
    if (!isJsonObject(value)) complain(`${name} is not an object`);
    else {
      for (const [key, item] of Object.entries(value)) {
        const level = parseLevel(item, format);
        if (level === undefined) complain(`${name} holds an invalid level`);
        else levels.set(key, level);
      }
    }
    return levels;
  };
  const events = readMap('events');
  const users = readMap('users');
  const beforeNotifications = fault;
  const notifications = readMap('notifications');
  // Versions 1–5 pay no attention to notification levels.
  if (format === 'loose') fault = beforeNotifications;
  return { scalars, users, events, notifications, fault };
}

/** The room's creators: `content.creator` (v1–10), the create event's sender (v11), with the additional ones (v12). */
export function creatorsOf(create: AuthEvent, rules: RoomVersionRules): ReadonlySet<string> {
  if (rules.creatorInContent) {
    const creator = asString(memberOf(create.content, 'creator'));
    return new Set(creator === undefined ? [] : [creator]);
  }
  const creators = new Set<string>([create.sender]);
  if (!rules.privilegedCreators) return creators;
  const additional = memberOf(create.content, 'additional_creators');
  if (Array.isArray(additional)) {
    for (const userId of additional) if (typeof userId === 'string') creators.add(userId);
  }
  return creators;
}

const nobody: ReadonlySet<string> = new Set();

/** The levels that a create and a power levels event, either possibly absent, put in force. */
export function powerLevelsFrom(
  create: AuthEvent | undefined,
  powerLevels: AuthEvent | undefined,
  rules: RoomVersionRules,
): PowerLevels {
  const table = powerLevels === undefined ? emptyTable : levelTable(powerLevels.content, rules.powerLevelFormat);
  if (create === undefined) return { table, privileged: nobody, soleAdmin: undefined };
  if (rules.privilegedCreators) return { table, privileged: creatorsOf(create, rules), soleAdmin: undefined };
  // Without a power levels event the creator has 100, all others 0.
  if (powerLevels !== undefined) return { table, privileged: nobody, soleAdmin: undefined };
  const [soleAdmin] = creatorsOf(create, rules);
  return { table, privileged: nobody, soleAdmin };
}

/** The levels in force in a room with this state. */
export const powerLevelsOf = (state: AuthState, rules: RoomVersionRules): PowerLevels =>
  powerLevelsFrom(state.get('m.room.create', ''), state.get('m.room.power_levels', ''), rules);

/** A user's level: `Infinity` for privileged creators, `users_default` for who is not listed. */
export function powerLevelOf(userId: string, levels: PowerLevels): number {
  if (levels.privileged.has(userId)) return Infinity;
  if (levels.soleAdmin === userId) return 100;
  return levels.table.users.get(userId) ?? levelFor('users_default', levels);
}

/** A level that stands directly in the content (`kick`, `ban`, `invite`, `events_default` …), or its default. */
export const levelFor = (name: LevelName, levels: PowerLevels): number =>
  levels.table.scalars.get(name) ?? scalarDefaults[name];

/** The level that sending an event of this type takes. Membership events have rules of their own. */
export const levelToSend = (type: string, isState: boolean, levels: PowerLevels): number =>
  levels.table.events.get(type) ?? levelFor(isState ? 'state_default' : 'events_default', levels);

/** The level that a notification of this kind takes (`room` for `@room`); 50 by default. */
export const levelToNotify = (kind: string, levels: PowerLevels): number => levels.table.notifications.get(kind) ?? 50;

/**
 * Whether a redaction takes effect from version 3 on: its sender has the redact level, or belongs to the server of the
 * redacted event's sender (room versions §Handling redactions). `levels` are those of the state before the redaction.
 */
export const mayRedact = (redactionSender: UserId, targetSender: UserId, levels: PowerLevels): boolean =>
  powerLevelOf(redactionSender, levels) >= levelFor('redact', levels) ||
  serverNameOf(redactionSender) === serverNameOf(targetSender);

/** Auth rule for `m.room.power_levels`. `levels` are those in force before the event. */
export function authorisePowerLevels(
  event: AuthEvent,
  state: AuthState,
  levels: PowerLevels,
  rules: RoomVersionRules,
): AuthVerdict {
  const proposed = levelTable(event.content, rules.powerLevelFormat);
  // Each level must be an integer (version 10 on) or one of the older notations; `events`, `notifications` and `users`
  // must be objects of such. Where old versions leave open what an unreadable level means, it makes the event invalid too.
  if (proposed.fault !== undefined) return reject(proposed.fault);
  // The keys of `users` must be user ids.
  for (const userId of proposed.users.keys()) {
    if (parseUserId(userId) === undefined) return reject('users names something that is not a user id');
    // Creators stand above all levels and must not be listed (version 12 on).
    if (levels.privileged.has(userId)) return reject('users must not name a creator');
  }
  // The room's first power levels are free.
  const current = state.get('m.room.power_levels', '');
  if (current === undefined) return allow;
  return authoriseChange(event.sender, levels.table, proposed, powerLevelOf(event.sender, levels), rules);
}

function authoriseChange(
  sender: string,
  current: LevelTable,
  proposed: LevelTable,
  own: number,
  rules: RoomVersionRules,
): AuthVerdict {
  // An altered top-level level must be within the sender's reach both before and after.
  if (isBeyond(current.scalars, proposed.scalars, own)) return reject('changes a level above the sender');
  // So must an altered level of an event type, and from version 6 on of a notification.
  if (isBeyond(current.events, proposed.events, own)) return reject('changes an event level above the sender');
  if (rules.checkNotificationLevels && isBeyond(current.notifications, proposed.notifications, own)) {
    return reject('changes a notification level above the sender');
  }
  // Another user's entry may be changed or removed only below the sender's own level.
  for (const [userId, before] of current.users) {
    if (userId !== sender && proposed.users.get(userId) !== before && before >= own) {
      return reject('changes the level of a user who is not below the sender');
    }
  }
  // No entry may be set above the sender's own level.
  for (const [userId, after] of proposed.users) {
    if (current.users.get(userId) !== after && after > own) return reject('raises a user above the sender');
  }
  return allow;
}

/** Whether an altered entry is, or becomes, higher than `own`. */
function isBeyond(current: LevelMap, proposed: LevelMap, own: number): boolean {
  for (const [key, before] of current) if (proposed.get(key) !== before && before > own) return true;
  for (const [key, after] of proposed) if (current.get(key) !== after && after > own) return true;
  return false;
}
