/**
 * Persistent data units (S-S API v1.19 §PDUs; one format per room version). `Pdu` is the wire object; `RoomEvent` is
 * what the rest of the code works with: ids resolved, references plain, one shape for all room versions.
 * This module derives what a PDU implies (hashes, ids, the RoomEvent); `pdu-check.ts` decides what may enter.
 */
import { decodeBase64, encodeBase64 } from '../util/bytes.ts';
import { type CanonicalJsonOptions, canonicalJson } from './canonical-json.ts';
import { sha256Base64, sha256Base64Url } from './crypto/hash.ts';
import { type EventId, type RoomId, type UserId, roomIdOfCreate } from './ids.ts';
import { type JsonObject, type JsonValue, asString, memberOf, numericValue } from './json.ts';
import { redactPdu } from './redaction.ts';
import type { RoomVersionRules } from './room-versions.ts';
import { signedText } from './signing.ts';

/** The object as it travels between servers. Fields beyond these are kept and signed. */
export interface Pdu extends JsonObject {
  type: string;
  sender: string;
  content: JsonObject;
  origin_server_ts: number;
}

/** An event whose format was checked. Immutable; shared freely. */
export interface RoomEvent {
  readonly eventId: EventId;
  /** Of a version 12 create event: derived from its own hash. */
  readonly roomId: RoomId;
  readonly type: string;
  /** Absent: not a state event. */
  readonly stateKey: string | undefined;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly originServerTs: number;
  /** Clamped to 2^53-1 (versions 1–5 allow up to 2^63-1). */
  readonly depth: number;
  readonly prevEvents: readonly EventId[];
  /** As cited by the event; in version 12 the create event is not among them (it is implied by the room id). */
  readonly authEvents: readonly EventId[];
  /** The event that a redaction names, wherever the version puts it. */
  readonly redacts: EventId | undefined;
  readonly pdu: Pdu;
}

/** How canonical JSON treats numbers in rooms of this version. */
export const canonicalOptions = (rules: RoomVersionRules): CanonicalJsonOptions =>
  rules.strictCanonicalJson ? strict : lenient;
const strict: CanonicalJsonOptions = { lenient: false };
const lenient: CanonicalJsonOptions = { lenient: true };

/** True for the create event of a room whose id is the hash of that event: it carries no `room_id` (version 12). */
export const isRoomIdSource = (pdu: JsonObject, rules: RoomVersionRules): boolean =>
  rules.roomIdIsCreateHash && pdu.type === 'm.room.create' && pdu.state_key === '';

/** The text that an event's signatures and its reference hash cover: redacted, without `signatures` and `unsigned`. */
export const signedPduText = (pdu: Pdu, rules: RoomVersionRules): string =>
  signedText(redactPdu(pdu, rules), canonicalOptions(rules));

/** The content hash (S-S API §Calculating the content hash for an event) as unpadded base64. @throws CanonicalJsonError */
export function contentHash(pdu: JsonObject, rules: RoomVersionRules): string {
  const { unsigned: _unsigned, signatures: _signatures, hashes: _hashes, ...covered } = pdu;
  return sha256Base64(canonicalJson(covered, canonicalOptions(rules)));
}

/** True when `hashes.sha256` fits the content; otherwise the event is to be used redacted (S-S API §Validating hashes). */
export function hasValidContentHash(pdu: Pdu, rules: RoomVersionRules): boolean {
  const claimed = asString(memberOf(pdu.hashes, 'sha256'));
  if (claimed === undefined) return false;
  const expected = contentHash(pdu, rules);
  if (claimed === expected) return true;
  const bytes = decodeBase64(claimed);
  return bytes !== undefined && encodeBase64(bytes) === expected;
}

/** The reference hash (S-S API §Calculating the reference hash for an event) as unpadded base64. @throws CanonicalJsonError */
export const referenceHash = (pdu: Pdu, rules: RoomVersionRules): string => sha256Base64(signedPduText(pdu, rules));

/** The event's id: its own field in versions 1 and 2, `$` and the reference hash later. The format must have been checked. */
export function eventIdOf(pdu: Pdu, rules: RoomVersionRules): EventId {
  if (rules.eventIdFormat === 'field') return String(pdu.event_id) as EventId;
  const text = signedPduText(pdu, rules);
  return `$${rules.eventIdFormat === 'hash-base64' ? sha256Base64(text) : sha256Base64Url(text)}` as EventId;
}

/** A number of the wire as a safe integer: the fraction is cut, what is out of range is clamped, what is no number is 0. */
function clamp(value: JsonValue | undefined): number {
  const number = Number(numericValue(value) ?? 0);
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(number)));
}

function referencesOf(value: JsonValue | undefined, rules: RoomVersionRules): readonly EventId[] {
  if (!Array.isArray(value)) return [];
  if (!rules.eventReferencesArePairs) return value as EventId[];
  return value.map((pair) => (Array.isArray(pair) ? pair[0] : '') as EventId);
}

function redactsOf(pdu: Pdu, rules: RoomVersionRules): EventId | undefined {
  if (pdu.type !== 'm.room.redaction') return undefined;
  const named = rules.redactsInContent ? memberOf(pdu.content, 'redacts') : pdu.redacts;
  return typeof named === 'string' ? (named as EventId) : undefined;
}

/**
 * The RoomEvent of a PDU whose format is known to be right (stored, or just checked). With `eventId` nothing is hashed.
 */
export function toRoomEvent(pdu: Pdu, rules: RoomVersionRules, eventId: EventId = eventIdOf(pdu, rules)): RoomEvent {
  return {
    eventId,
    roomId: isRoomIdSource(pdu, rules) ? roomIdOfCreate(eventId) : (String(pdu.room_id) as RoomId),
    type: pdu.type,
    stateKey: asString(pdu.state_key),
    sender: pdu.sender as UserId,
    content: pdu.content,
    originServerTs: clamp(pdu.origin_server_ts),
    depth: clamp(pdu.depth),
    prevEvents: referencesOf(pdu.prev_events, rules),
    authEvents: referencesOf(pdu.auth_events, rules),
    redacts: redactsOf(pdu, rules),
    pdu,
  };
}

/** The redacted form of an event: same id, same references. */
export const redactEvent = (event: RoomEvent, rules: RoomVersionRules): RoomEvent =>
  toRoomEvent(redactPdu(event.pdu, rules), rules, event.eventId);
