/**
 * The two texts in which an event is stored and what is made of them. `client` holds the members that clients see
 * (C-S API v1.19 §Room event format), so that a client event is that text with an id and `unsigned` spliced in; `rest`
 * holds everything else of the PDU. Both are canonical JSON; together they are the PDU again, losslessly.
 */
import { canonicalJson } from './canonical-json.ts';
import type { EventId } from './ids.ts';
import { type JsonObject, type JsonValue, isJsonObject, parseLosslessJson } from './json.ts';
import { type Pdu, type RoomEvent, canonicalOptions, isRoomIdSource } from './pdu.ts';
import type { RoomVersionRules } from './room-versions.ts';

export interface StoredEventText {
  /** `content`, `origin_server_ts`, `redacts` (redactions of versions 1–10), `room_id`, `sender`, `state_key`, `type`. */
  readonly client: string;
  /** All other members. */
  readonly rest: string;
}

const clientKeys = new Set(['content', 'origin_server_ts', 'room_id', 'sender', 'state_key', 'type']);

/** Splits an event for storage; `room_id` always stands in `client`, also where the PDU has none (version 12 create event). */
export function splitForStorage(event: RoomEvent, rules: RoomVersionRules): StoredEventText {
  const { pdu } = event;
  const clientRedacts = pdu.type === 'm.room.redaction' && !rules.redactsInContent;
  // A create event that carries a room id against the rules keeps it where no client sees it.
  const ownRoomId = !isRoomIdSource(pdu, rules);
  const client: [string, JsonValue | undefined][] = [];
  const rest: [string, JsonValue | undefined][] = [];
  for (const member of Object.entries(pdu)) {
    const key = member[0];
    const shown = key === 'room_id' ? ownRoomId : clientKeys.has(key) || (clientRedacts && key === 'redacts');
    (shown ? client : rest).push(member);
  }
  if (!ownRoomId) client.push(['room_id', event.roomId]);
  const options = canonicalOptions(rules);
  // Object.fromEntries keeps a member called `__proto__` an ordinary one.
  return {
    client: canonicalJson(Object.fromEntries(client), options),
    rest: canonicalJson(Object.fromEntries(rest), options),
  };
}

function parseStored(text: string, rules: RoomVersionRules): JsonObject {
  const value = rules.strictCanonicalJson ? (JSON.parse(text) as JsonValue) : parseLosslessJson(text);
  if (!isJsonObject(value)) throw new SyntaxError('a stored event is no JSON object');
  return value;
}

/** The PDU of the two stored texts. @throws SyntaxError when they are damaged */
export function joinFromStorage(client: string, rest: string, rules: RoomVersionRules): Pdu {
  const hidden = parseStored(rest, rules);
  const joined = { ...parseStored(client, rules), ...hidden };
  if (isRoomIdSource(joined, rules) && !Object.hasOwn(hidden, 'room_id')) delete joined.room_id;
  return joined as Pdu;
}

/** JSON text of the PDU (valid, not canonically ordered) for sending, without parsing where that is possible. */
export function pduTextFromStorage(client: string, rest: string, rules: RoomVersionRules): string {
  if (rules.roomIdIsCreateHash && client.endsWith('"state_key":"","type":"m.room.create"}'))
    return JSON.stringify(joinFromStorage(client, rest, rules));
  return rest === '{}' ? client : `${client.slice(0, -1)},${rest.slice(1)}`;
}

/**
 * Puts `redacts` of a redaction both at the top level and in the content, as clients of all ages want it
 * (Room Version 11 §Moving the `redacts` property); the place where the room version has it wins.
 */
function withBothRedacts(client: JsonObject): JsonObject {
  const content = isJsonObject(client.content) ? client.content : {};
  const redacts = client.redacts ?? content.redacts;
  return typeof redacts === 'string' ? { ...client, redacts, content: { ...content, redacts } } : client;
}

const plainId = /^[\w$:.+/=~-]+$/;

/**
 * JSON text of the event as clients get it: the stored `client` text with `event_id`, `unsigned` and further members
 * (name → JSON text) spliced in.
 */
export function clientEventText(
  client: string,
  eventId: EventId,
  unsigned?: string | undefined,
  extras?: Readonly<Record<string, string>>,
): string {
  let text = client;
  // `type` is the last of the client's members in canonical order.
  if (client.endsWith('"type":"m.room.redaction"}')) {
    const parsed = parseLosslessJson(client);
    if (isJsonObject(parsed)) text = JSON.stringify(withBothRedacts(parsed));
  }
  const id = plainId.test(eventId) ? `"${eventId}"` : JSON.stringify(eventId);
  let tail = unsigned === undefined ? '' : `,"unsigned":${unsigned}`;
  for (const key in extras) tail += `,${JSON.stringify(key)}:${extras[key]}`;
  return `{"event_id":${id},${text.slice(1, -1)}${tail}}`;
}

/** The event as clients get it (C-S API §Room event format), as an object; `unsigned` is the caller's to add. */
export function clientEventFields(event: RoomEvent): JsonObject {
  const fields: JsonObject = {
    content: event.content,
    event_id: event.eventId,
    origin_server_ts: event.originServerTs,
    room_id: event.roomId,
    sender: event.sender,
    type: event.type,
  };
  if (event.stateKey !== undefined) fields.state_key = event.stateKey;
  return event.redacts === undefined ? fields : withBothRedacts({ ...fields, redacts: event.redacts });
}

/**
 * Stripped state (C-S API §Stripped state): the four members that invited and knocking users see; of the create event, by
 * which they judge the room, its time too.
 */
export const strippedStateFields = (event: RoomEvent): JsonObject => ({
  content: event.content,
  sender: event.sender,
  state_key: event.stateKey ?? '',
  type: event.type,
  ...(event.type === 'm.room.create' ? { origin_server_ts: event.originServerTs } : {}),
});
