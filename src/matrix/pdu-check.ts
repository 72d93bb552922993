/**
 * Receipt check 1 (S-S API v1.19 §Checks performed on receipt of a PDU): "is a valid event", which means the event
 * format of the room version, canonical JSON where the version enforces it, and the size limits of C-S API §Size limits.
 * What fails here is dropped. `unsigned` of foreign events is not covered by any signature and is thrown away.
 */
import { type Result, err, ok } from '../util/result.ts';
import { fitsBytes, utf8Length } from '../util/bytes.ts';
import { CanonicalJsonError, canonicalJson } from './canonical-json.ts';
import { parseDomainEventId, parseEventId, parseRoomId, isHashRoomId, maxIdBytes, parseUserId } from './ids.ts';
import {
  type JsonObject,
  type JsonValue,
  isJsonObject,
  isRawNumber,
  parseLosslessJson,
  parseStrictJson,
} from './json.ts';
import { type Pdu, type RoomEvent, canonicalOptions, isRoomIdSource, toRoomEvent } from './pdu.ts';
import type { RoomVersionRules } from './room-versions.ts';

/** Largest event in bytes of canonical JSON, signatures included. */
export const maxEventBytes = 65_536;
export const maxPrevEvents = 20;
export const maxAuthEvents = 10;

export interface PduError {
  /** `not-json`: no JSON at all; `bad-json`: no canonical JSON; `bad-format`: not this version's event; `too-large`: a limit. */
  readonly kind: 'not-json' | 'bad-json' | 'bad-format' | 'too-large';
  readonly message: string;
}

export interface PduCheckOptions {
  /** Don't count `prev_events` and `auth_events` (answers to `/backfill` hold old events beyond the limits). */
  readonly anyReferenceCount?: boolean;
  /**
   * Let types and state keys of up to 255 code points pass where the version leaves open what is counted: others have
   * built on such events, so they are kept, and rejected.
   */
  readonly longKeys?: boolean;
}

const format = (message: string): PduError => ({ kind: 'bad-format', message });
const tooLarge = (message: string): PduError => ({ kind: 'too-large', message });

const maxDepth = 2n ** 63n - 1n;

/** An integer of the wire, exactly; undefined for floats and what is no number. */
function integerOf(value: JsonValue | undefined): bigint | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : undefined;
  if (typeof value === 'bigint') return value;
  return isRawNumber(value) && /^-?\d+$/.test(value.rawJSON) ? BigInt(value.rawJSON) : undefined;
}

function checkNumbers(pdu: JsonObject, rules: RoomVersionRules): PduError | undefined {
  if (integerOf(pdu.origin_server_ts) === undefined) return format('origin_server_ts is no integer');
  const depth = integerOf(pdu.depth);
  if (depth === undefined || depth < 0n) return format('depth is no integer from 0 up');
  if (depth > (rules.strictCanonicalJson ? BigInt(Number.MAX_SAFE_INTEGER) : maxDepth))
    return format('depth is too large');
  return undefined;
}

/** Whether a type or state key is short enough to be looked at further. */
const fitsKey = (text: string, rules: RoomVersionRules, { longKeys }: PduCheckOptions): boolean =>
  fitsBytes(text, maxIdBytes) || (longKeys === true && !rules.strictKeyBytes && [...text].length <= maxIdBytes);

function checkIds(pdu: JsonObject, rules: RoomVersionRules, options: PduCheckOptions): PduError | undefined {
  const { type, sender, state_key: stateKey, room_id: roomId } = pdu;
  if (typeof type !== 'string') return format('type is no string');
  if (!fitsKey(type, rules, options)) return tooLarge('type exceeds 255 bytes');
  if (stateKey !== undefined && typeof stateKey !== 'string') return format('state_key is no string');
  if (stateKey !== undefined && !fitsKey(stateKey, rules, options)) return tooLarge('state_key exceeds 255 bytes');
  if (typeof sender !== 'string' || parseUserId(sender) === undefined) return format('sender is no user id');
  if (
    rules.eventIdFormat === 'field' &&
    (typeof pdu.event_id !== 'string' || parseDomainEventId(pdu.event_id) === undefined)
  )
    return format('event_id is no event id');
  if (isRoomIdSource(pdu, rules)) return undefined;
  if (
    typeof roomId !== 'string' ||
    parseRoomId(roomId) === undefined ||
    isHashRoomId(roomId) !== rules.roomIdIsCreateHash
  )
    return format('room_id is no room id of this room version');
  return undefined;
}

function isReference(value: JsonValue, rules: RoomVersionRules): boolean {
  if (!rules.eventReferencesArePairs) return typeof value === 'string' && parseEventId(value) !== undefined;
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [id, hashes] = value;
  return typeof id === 'string' && parseEventId(id) !== undefined && isJsonObject(hashes);
}

function checkReferences(pdu: JsonObject, rules: RoomVersionRules, options: PduCheckOptions): PduError | undefined {
  for (const [key, limit] of [
    ['prev_events', maxPrevEvents],
    ['auth_events', maxAuthEvents],
  ] as const) {
    const references = pdu[key];
    if (!Array.isArray(references)) return format(`${key} is no array`);
    if (references.length > limit && options.anyReferenceCount !== true)
      return tooLarge(`${key} exceeds ${limit} events`);
    if (!references.every((reference) => isReference(reference, rules)))
      return format(`${key} holds something else than event references`);
  }
  return undefined;
}

function checkObjects(pdu: JsonObject, rules: RoomVersionRules): PduError | undefined {
  if (!isJsonObject(pdu.content)) return format('content is no object');
  if (!isJsonObject(pdu.hashes) || typeof pdu.hashes.sha256 !== 'string') return format('hashes has no sha256');
  if (!isJsonObject(pdu.signatures)) return format('signatures is no object');
  for (const keys of Object.values(pdu.signatures))
    if (!isJsonObject(keys) || Object.values(keys).some((signature) => typeof signature !== 'string'))
      return format('signatures holds something else than signatures by key id');
  if (!rules.redactsInContent && pdu.redacts !== undefined && typeof pdu.redacts !== 'string')
    return format('redacts is no string');
  return undefined;
}

// The checks above have looked at every member that `Pdu` names.
const isPdu = (_pdu: JsonObject, error: PduError | undefined): _pdu is Pdu => error === undefined;

function parse(text: string, rules: RoomVersionRules): Result<JsonValue, PduError> {
  if (!rules.strictCanonicalJson) {
    const value = parseLosslessJson(text);
    return value === undefined ? err({ kind: 'not-json', message: 'the event is no JSON' }) : ok(value);
  }
  const strict = parseStrictJson(text);
  if (strict.ok) return strict;
  return err({
    kind: strict.error === 'not-json' ? 'not-json' : 'bad-json',
    message: `the event is no canonical JSON: ${strict.error}`,
  });
}

function canonicalBytes(pdu: JsonObject, rules: RoomVersionRules): Result<number, PduError> {
  try {
    return ok(utf8Length(canonicalJson(pdu, canonicalOptions(rules))));
  } catch (error) {
    if (error instanceof CanonicalJsonError) return err({ kind: 'bad-json', message: error.message });
    throw error;
  }
}

/**
 * Checks an event from outside and derives its RoomEvent (event id by hash, room id of a version 12 create event).
 * Give the raw text wherever there is one: only it shows `1.0`, duplicate keys or integers that a double can't hold.
 */
export function checkPdu(
  input: string | JsonObject,
  rules: RoomVersionRules,
  options: PduCheckOptions = {},
): Result<RoomEvent, PduError> {
  const parsed = typeof input === 'string' ? parse(input, rules) : ok(input);
  if (!parsed.ok) return parsed;
  if (!isJsonObject(parsed.value)) return err(format('the event is no object'));
  let pdu = parsed.value;
  if (pdu.unsigned !== undefined) {
    const { unsigned: _unsigned, ...kept } = pdu;
    pdu = kept;
  }
  const error =
    checkIds(pdu, rules, options) ??
    checkNumbers(pdu, rules) ??
    checkReferences(pdu, rules, options) ??
    checkObjects(pdu, rules);
  if (!isPdu(pdu, error)) return err(error ?? format('the event has the wrong format'));
  // Text that passed the strict reader has a canonical form, and none that is longer than itself.
  const knownToFit = typeof input === 'string' && rules.strictCanonicalJson && fitsBytes(input, maxEventBytes);
  if (!knownToFit) {
    const bytes = canonicalBytes(pdu, rules);
    if (!bytes.ok) return bytes;
    if (bytes.value > maxEventBytes) return err(tooLarge(`the event exceeds ${maxEventBytes} bytes`));
  }
  return ok(toRoomEvent(pdu, rules));
}
