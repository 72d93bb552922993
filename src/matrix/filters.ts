/**
 * Client filters (C-S API v1.19 §Filtering): what `/sync`, `/messages` and their like leave out. Parsing checks the whole
 * filter once and compiles its type patterns; matching an event is then a few set look-ups. The `related_by_*` lists are
 * those of MSC3440.
 */
import type { Result } from '../util/result.ts';
import { err, ok } from '../util/result.ts';
import { globMatcher } from './glob.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { isJsonObject } from './json.ts';
import { parsePath } from './property-path.ts';

export interface EventFilter {
  /** As the client wrote it, 0 and above; defaults and maxima are the endpoint's. */
  readonly limit: number | undefined;
  /** The lists as written, for those who ask a database; undefined admits everything. */
  readonly types: readonly string[] | undefined;
  readonly notTypes: readonly string[];
  readonly senders: ReadonlySet<string> | undefined;
  readonly notSenders: ReadonlySet<string>;
  readonly rooms: ReadonlySet<string> | undefined;
  readonly notRooms: ReadonlySet<string>;
  readonly containsUrl: boolean | undefined;
  readonly lazyLoadMembers: boolean;
  readonly includeRedundantMembers: boolean;
  readonly unreadThreadNotifications: boolean;
  readonly relatedBySenders: ReadonlySet<string> | undefined;
  readonly relatedByRelTypes: ReadonlySet<string> | undefined;
  /** `types` and `not_types` compiled. */
  readonly admitsType: (type: string) => boolean;
}

export interface RoomFilter {
  readonly rooms: ReadonlySet<string> | undefined;
  readonly notRooms: ReadonlySet<string>;
  readonly includeLeave: boolean;
  readonly ephemeral: EventFilter;
  readonly state: EventFilter;
  readonly timeline: EventFilter;
  readonly accountData: EventFilter;
}

export interface Filter {
  /** Property paths to keep, names unescaped; undefined keeps everything. */
  readonly eventFields: readonly (readonly string[])[] | undefined;
  readonly eventFormat: 'client' | 'federation';
  readonly presence: EventFilter;
  readonly accountData: EventFilter;
  readonly room: RoomFilter;
}

/** What is wrong with a filter, for a 400 `M_BAD_JSON`: `room.timeline.limit must be …`. */
export type FilterFault = string;

/** An event as filters see it; absent parts are not judged. */
export interface FilteredEvent {
  readonly type: string;
  readonly sender?: string | undefined;
  readonly roomId?: string | undefined;
  readonly content?: JsonObject | undefined;
}

/** An event that relates to the one being judged. */
export interface RelatingEvent {
  readonly sender: string;
  readonly relType: string;
}

class Fault extends Error {}

const objectAt = (json: JsonObject, key: string, path: string): JsonObject => {
  const value = json[key];
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw new Fault(`${path}${key} must be an object`);
  return value;
};

const booleanAt = (json: JsonObject, key: string, path: string): boolean | undefined => {
  const value = json[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw new Fault(`${path}${key} must be a boolean`);
  return value;
};

const stringsAt = (json: JsonObject, key: string, path: string, sigil = ''): readonly string[] | undefined => {
  const value = json[key];
  if (value === undefined || value === null) return undefined;
  const isId = (item: JsonValue): item is string => typeof item === 'string' && item.startsWith(sigil);
  if (Array.isArray(value) && value.every(isId)) return value;
  throw new Fault(`${path}${key} must be a list of ${sigil === '' ? 'strings' : `ids that start with ${sigil}`}`);
};

const setAt = (json: JsonObject, key: string, path: string, sigil = ''): ReadonlySet<string> | undefined => {
  const strings = stringsAt(json, key, path, sigil);
  return strings && new Set(strings);
};

const limitAt = (json: JsonObject, path: string): number | undefined => {
  const value = json['limit'];
  if (value === undefined || value === null) return undefined;
  // "must be an integer greater than 0"; 0 is let in all the same, since clients that want no timeline send it.
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Fault(`${path}limit must be an integer greater than 0`);
};

/** A test whether any of the patterns fits; only `*` is special in them. */
const anyType = (patterns: readonly string[]): ((type: string) => boolean) => {
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(starMatcher);
  return (type) => exact.has(type) || globs.some((matches) => matches(type));
};

const starMatcher = (pattern: string): ((text: string) => boolean) => {
  if (!pattern.includes('?')) return globMatcher(pattern);
  // `?` is no wildcard in filters: a private-use character stands in for it on both sides.
  const hidden = globMatcher(pattern.replaceAll('?', '\u{F0000}'));
  return (text) => hidden(text.replaceAll('?', '\u{F0000}'));
};

const eventFilter = (json: JsonObject, path: string): EventFilter => {
  const types = stringsAt(json, 'types', path);
  const notTypes = stringsAt(json, 'not_types', path) ?? [];
  const wanted = types && anyType(types);
  const unwanted = anyType(notTypes);
  return {
    limit: limitAt(json, path),
    types,
    notTypes,
    senders: setAt(json, 'senders', path, '@'),
    notSenders: setAt(json, 'not_senders', path, '@') ?? new Set(),
    rooms: setAt(json, 'rooms', path, '!'),
    notRooms: setAt(json, 'not_rooms', path, '!') ?? new Set(),
    containsUrl: booleanAt(json, 'contains_url', path),
    lazyLoadMembers: booleanAt(json, 'lazy_load_members', path) ?? false,
    includeRedundantMembers: booleanAt(json, 'include_redundant_members', path) ?? false,
    unreadThreadNotifications: booleanAt(json, 'unread_thread_notifications', path) ?? false,
    relatedBySenders: setAt(json, 'related_by_senders', path, '@'),
    relatedByRelTypes: setAt(json, 'related_by_rel_types', path),
    // "A matching type will be excluded even if it is listed in the `types` filter."
    admitsType: (type) => !unwanted(type) && (wanted === undefined || wanted(type)),
  };
};

const roomFilter = (json: JsonObject, path: string): RoomFilter => {
  const part = (key: string): EventFilter => eventFilter(objectAt(json, key, path), `${path}${key}.`);
  return {
    rooms: setAt(json, 'rooms', path, '!'),
    notRooms: setAt(json, 'not_rooms', path, '!') ?? new Set(),
    includeLeave: booleanAt(json, 'include_leave', path) ?? false,
    ephemeral: part('ephemeral'),
    state: part('state'),
    timeline: part('timeline'),
    accountData: part('account_data'),
  };
};

const eventFormat = (json: JsonObject): Filter['eventFormat'] => {
  const format = json['event_format'] ?? 'client';
  if (format === 'client' || format === 'federation') return format;
  throw new Fault('event_format must be client or federation');
};

const parsed = <T>(json: unknown, parse: (object: JsonObject) => T): Result<T, FilterFault> => {
  if (!isJsonObject(json)) return err('the filter must be an object');
  try {
    return ok(parse(json));
  } catch (error) {
    if (error instanceof Fault) return err(error.message);
    throw error;
  }
};

/** Checks and compiles a filter as stored by `POST /user/{userId}/filter` or given inline to `/sync`. */
export const parseFilter = (json: unknown): Result<Filter, FilterFault> =>
  parsed(json, (object) => ({
    eventFields: stringsAt(object, 'event_fields', '')?.map(parsePath),
    eventFormat: eventFormat(object),
    presence: eventFilter(objectAt(object, 'presence', ''), 'presence.'),
    accountData: eventFilter(objectAt(object, 'account_data', ''), 'account_data.'),
    room: roomFilter(objectAt(object, 'room', ''), 'room.'),
  }));

/** Checks and compiles a RoomEventFilter, as `/messages`, `/context` and `/search` take it. */
export const parseEventFilter = (json: unknown): Result<EventFilter, FilterFault> =>
  parsed(json, (object) => eventFilter(object, ''));

/** The filter of a request that names none: everything passes. */
export const emptyEventFilter: EventFilter = eventFilter({}, '');
export const emptyFilter: Filter = {
  eventFields: undefined,
  eventFormat: 'client',
  presence: emptyEventFilter,
  accountData: emptyEventFilter,
  room: roomFilter({}, ''),
};

const admits = (wanted: ReadonlySet<string> | undefined, unwanted: ReadonlySet<string>, value: string): boolean =>
  !unwanted.has(value) && (wanted === undefined || wanted.has(value));

/** Whether the filter lets anything of this room through. */
export const admitsRoom = (filter: Pick<EventFilter, 'rooms' | 'notRooms'>, roomId: string): boolean =>
  admits(filter.rooms, filter.notRooms, roomId);

/** Whether `matchesEvent` needs the events that relate to the judged one. */
export const needsRelations = (filter: EventFilter): boolean =>
  filter.relatedBySenders !== undefined || filter.relatedByRelTypes !== undefined;

/** Whether no event can pass, so that none need be looked up. */
export const admitsNothing = (filter: EventFilter): boolean =>
  filter.types?.length === 0 || filter.senders?.size === 0 || filter.rooms?.size === 0;

/** Whether the event passes; `relatedBy` are the events that relate to it, asked for by `needsRelations`. */
export const matchesEvent = (
  filter: EventFilter,
  event: FilteredEvent,
  relatedBy: readonly RelatingEvent[] = [],
): boolean => {
  if (!filter.admitsType(event.type)) return false;
  if (event.sender !== undefined && !admits(filter.senders, filter.notSenders, event.sender)) return false;
  if (event.roomId !== undefined && !admitsRoom(filter, event.roomId)) return false;
  if (filter.containsUrl !== undefined) {
    const hasUrl = event.content !== undefined && Object.hasOwn(event.content, 'url');
    if (hasUrl !== filter.containsUrl) return false;
  }
  if (!needsRelations(filter)) return true;
  return relatedBy.some(
    ({ sender, relType }) =>
      (filter.relatedBySenders?.has(sender) ?? true) && (filter.relatedByRelTypes?.has(relType) ?? true),
  );
};

/** The event with only the named properties; the objects on the way to them are kept, empty ones are not made. */
export const selectFields = (event: JsonObject, paths: readonly (readonly string[])[]): JsonObject => {
  const selected: JsonObject = {};
  for (const path of paths) copyPath(event, selected, path);
  return selected;
};

const copyPath = (from: JsonObject, to: JsonObject, [name, ...rest]: readonly string[]): void => {
  if (name === undefined || !Object.hasOwn(from, name)) return;
  const value = from[name];
  if (rest.length === 0) {
    define(to, name, value);
    return;
  }
  if (!isJsonObject(value)) return;
  const existing = Object.hasOwn(to, name) ? to[name] : undefined;
  // A path that names the whole object came before: nothing is left to add.
  if (existing === value) return;
  const inner: JsonObject = isJsonObject(existing) ? existing : {};
  copyPath(value, inner, rest);
  if (Object.keys(inner).length > 0) define(to, name, inner);
};

/** Plain assignment would set the prototype for a property named `__proto__`. */
const define = (object: JsonObject, name: string, value: JsonValue | undefined): void => {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
};
