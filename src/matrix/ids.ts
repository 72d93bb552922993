/**
 * Identifiers of the specification (Appendices v1.19 §Identifier Grammar) as branded strings.
 * `parse*` functions decide what enters; everything else in the code takes the brand and trusts it.
 * All length limits are in bytes of UTF-8.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { fitsBytes } from '../util/bytes.ts';

declare const brand: unique symbol;
type Brand<B extends string> = string & { readonly [brand]: B };

export type ServerName = Brand<'ServerName'>;
/** `@localpart:server` */
export type UserId = Brand<'UserId'>;
/** `!opaque:server`, or `!hash` from room version 12 on. */
export type RoomId = Brand<'RoomId'>;
/** `#alias:server` */
export type RoomAlias = Brand<'RoomAlias'>;
/** `$opaque:server` in room versions 1 and 2, `$hash` later. */
export type EventId = Brand<'EventId'>;
export type DeviceId = Brand<'DeviceId'>;

/** Longest identifier, in bytes, sigil and server name included. */
export const maxIdBytes = 255;

const serverNameText = /^(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::\d{1,5})?$/;
const dottedQuad = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/** A DNS name, IPv4 literal or bracketed IPv6 literal with an optional port (Appendices §Server Name); case is kept. */
export function parseServerName(text: string): ServerName | undefined {
  const host = text.length <= 300 ? serverNameText.exec(text)?.[1] : undefined;
  if (host === undefined) return undefined;
  if (host.startsWith('[')) {
    if (!isIPv6(host.slice(1, -1))) return undefined;
  } else if (dottedQuad.test(host) && !isIPv4(host)) {
    return undefined;
  }
  return text as ServerName;
}

/** `sigil localpart ":" server`, where the localpart is any text without `:`, NUL and lone surrogates, even empty. */
function isDomainId(text: string, sigil: string): boolean {
  if (!text.startsWith(sigil) || !fitsBytes(text, maxIdBytes)) return false;
  const colon = text.indexOf(':');
  if (colon === -1 || text.includes('\0') || !text.isWellFormed()) return false;
  return parseServerName(text.slice(colon + 1)) !== undefined;
}

/** A user id as other servers may send it: historical ones have any localpart, even an empty one (§Historical User IDs). */
export const parseUserId = (text: string): UserId | undefined => (isDomainId(text, '@') ? (text as UserId) : undefined);

const registrableLocalpart = /^[a-z0-9._=/+-]+$/;

/** What a new local user may be called (§User Identifiers); the caller checks the length of the whole id. */
export const isValidLocalpartForRegistration = (localpart: string): boolean => registrableLocalpart.test(localpart);

/** False for ids that must not be shown to clients outside events (§Historical User IDs: "non-compliant"). */
export const isCompliantUserId = (userId: UserId): boolean => /^@[\x21-\x7e]+$/.test(userId) && userId[1] !== ':';

const hashId = /^[!$][A-Za-z0-9_-]{43}$/;

/** A room id of either form: `!opaque:server`, or `!` and the URL-safe hash of the create event (version 12). */
export const parseRoomId = (text: string): RoomId | undefined =>
  text.startsWith('!') && (hashId.test(text) || isDomainId(text, '!')) ? (text as RoomId) : undefined;

/** True for the form without a server (room version 12 on). */
export const isHashRoomId = (roomId: string): boolean => roomId.startsWith('!') && hashId.test(roomId);

export const parseRoomAlias = (text: string): RoomAlias | undefined =>
  isDomainId(text, '#') ? (text as RoomAlias) : undefined;

/** Any event id: `$` and at least one character; which form a room uses is for its version to say. */
export const parseEventId = (text: string): EventId | undefined =>
  text.length > 1 && text.startsWith('$') && fitsBytes(text, maxIdBytes) && text.isWellFormed() && !text.includes('\0')
    ? (text as EventId)
    : undefined;

/** An event id of room versions 1 and 2: `$opaque:server`. */
export const parseDomainEventId = (text: string): EventId | undefined =>
  isDomainId(text, '$') ? (text as EventId) : undefined;

const opaqueId = /^[0-9A-Za-z._~-]{1,255}$/;

/** Opaque Identifier Grammar: 1–255 of `[0-9A-Za-z._~-]`. */
export const isOpaqueId = (text: string): boolean => opaqueId.test(text);

/** A device id: clients choose them freely, so only length (1–255 bytes) and well-formedness are checked. */
export const parseDeviceId = (text: string): DeviceId | undefined =>
  text !== '' && fitsBytes(text, maxIdBytes) && text.isWellFormed() && !text.includes('\0')
    ? (text as DeviceId)
    : undefined;

/** Common Namespaced Identifier Grammar: `[a-z][a-z0-9._-]*`, at most 255 characters. */
export const isNamespacedId = (text: string): boolean => /^[a-z][a-z0-9._-]{0,254}$/.test(text);

/** Splits `algorithm:version` of a signing or device key; undefined when either part is empty. */
export function parseKeyId(text: string): { readonly algorithm: string; readonly version: string } | undefined {
  const colon = text.indexOf(':');
  if (colon < 1 || colon === text.length - 1) return undefined;
  return { algorithm: text.slice(0, colon), version: text.slice(colon + 1) };
}

/** The server part of an id; undefined only for ids that have none (`!hash`, `$hash`). */
export function serverNameOf(id: UserId | RoomAlias): ServerName;
export function serverNameOf(id: UserId | RoomAlias | RoomId | EventId): ServerName | undefined;
export function serverNameOf(id: string): ServerName | undefined {
  const colon = id.indexOf(':');
  return colon === -1 ? undefined : (id.slice(colon + 1) as ServerName);
}

/** The part between the sigil and the first colon (the whole rest when there is no server). */
export function localpartOf(id: UserId | RoomAlias | RoomId | EventId): string {
  const colon = id.indexOf(':');
  return colon === -1 ? id.slice(1) : id.slice(1, colon);
}

/** `@localpart:server`; undefined when that is no valid user id. */
export const formatUserId = (localpart: string, server: ServerName): UserId | undefined =>
  localpart.includes(':') ? undefined : parseUserId(`@${localpart}:${server}`);

/** `#localpart:server`; undefined when that is no valid alias. */
export const formatRoomAlias = (localpart: string, server: ServerName): RoomAlias | undefined =>
  localpart.includes(':') ? undefined : parseRoomAlias(`#${localpart}:${server}`);

/** `!opaque:server` (room versions 1–11); undefined when that is no valid room id. */
export const formatRoomId = (opaque: string, server: ServerName): RoomId | undefined =>
  opaque.includes(':') ? undefined : parseRoomId(`!${opaque}:${server}`);

/** The room that a version 12 create event founds: the same hash with the other sigil. */
export const roomIdOfCreate = (createId: EventId): RoomId => `!${createId.slice(1)}` as RoomId;

/** The create event of a version 12 room. */
export const createIdOfRoom = (roomId: RoomId): EventId => `$${roomId.slice(1)}` as EventId;
