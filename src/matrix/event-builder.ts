/**
 * Makes events of our own: the unsigned template (also what `make_join` and its like answer with), then content hash,
 * event id and signature (S-S API v1.19 §Adding hashes and signatures to outgoing events). Time, references and keys are
 * given in.
 */
import { utf8Bytes } from '../util/bytes.ts';
import { CanonicalJsonError, canonicalJson } from './canonical-json.ts';
import { type KeyPair, sign } from './crypto/ed25519.ts';
import { sha256Base64Url } from './crypto/hash.ts';
import type { EventId, ServerName } from './ids.ts';
import type { JsonObject, JsonValue } from './json.ts';
import {
  type Pdu,
  type RoomEvent,
  canonicalOptions,
  contentHash,
  isRoomIdSource,
  referenceHash,
  signedPduText,
} from './pdu.ts';
import { type PduError, checkPdu } from './pdu-check.ts';
import type { RoomVersionRules } from './room-versions.ts';
import { withSignature } from './signing.ts';

/** What is wished for can't be an event: it is too large, no canonical JSON, or breaks the event format. */
export class EventBuildError extends Error {
  override readonly name = 'EventBuildError';
  readonly kind: PduError['kind'];
  constructor({ kind, message }: PduError) {
    super(message);
    this.kind = kind;
  }
}

export interface EventProto {
  readonly type: string;
  /** Present: a state event. */
  readonly state_key?: string | undefined;
  readonly content: JsonObject;
  readonly sender: string;
  /** Left out for the create event of a version 12 room only. */
  readonly room_id?: string | undefined;
  /** Of a redaction; put where the room version wants it. */
  readonly redacts?: string | undefined;
}

/** An event to cite. Room versions 1 and 2 write its reference hash beside the id: give the event or the hash there. */
export type EventReference =
  EventId | { readonly eventId: EventId; readonly referenceHash?: string | undefined; readonly pdu?: Pdu | undefined };

export interface TemplateInput {
  readonly rules: RoomVersionRules;
  readonly proto: EventProto;
  readonly prevEvents: readonly EventReference[];
  readonly authEvents: readonly EventReference[];
  readonly depth: number;
  /** Milliseconds since 1970. */
  readonly originServerTs: number;
}

export interface Signer {
  readonly serverName: ServerName;
  /** `ed25519:…` */
  readonly keyId: string;
  readonly key: KeyPair;
}

export interface BuildInput extends TemplateInput, Signer {}

function referenceJson(reference: EventReference, rules: RoomVersionRules): JsonValue {
  const eventId = typeof reference === 'string' ? reference : reference.eventId;
  if (!rules.eventReferencesArePairs) return eventId;
  const { referenceHash: known = undefined, pdu = undefined } = typeof reference === 'string' ? {} : reference;
  const sha256 = known ?? (pdu === undefined ? undefined : referenceHash(pdu, rules));
  if (sha256 === undefined) throw new TypeError(`room version ${rules.version} cites events with their reference hash`);
  return [eventId, { sha256 }];
}

/** An event without event id, hashes and signatures. @throws TypeError when versions 1 and 2 lack a reference hash */
export function eventTemplate(input: TemplateInput): Pdu {
  const { rules, proto } = input;
  const { content, redacts } = proto;
  const template: Pdu = {
    type: proto.type,
    sender: proto.sender,
    content: redacts !== undefined && rules.redactsInContent ? { ...content, redacts } : content,
    origin_server_ts: input.originServerTs,
    depth: Math.min(input.depth, Number.MAX_SAFE_INTEGER),
    prev_events: input.prevEvents.map((reference) => referenceJson(reference, rules)),
    auth_events: input.authEvents.map((reference) => referenceJson(reference, rules)),
  };
  if (proto.state_key !== undefined) template.state_key = proto.state_key;
  if (redacts !== undefined && !rules.redactsInContent) template.redacts = redacts;
  if (proto.room_id !== undefined && !isRoomIdSource(template, rules)) template.room_id = proto.room_id;
  return template;
}

/**
 * Versions 1 and 2 want an id in the event. It is taken from a hash of the event (which holds its references and time),
 * so that nothing random is needed and no two events share it.
 */
function withEventId(template: Pdu, rules: RoomVersionRules, serverName: ServerName): Pdu {
  if (rules.eventIdFormat !== 'field') return template;
  const { event_id: _id, hashes: _hashes, signatures: _signatures, unsigned: _unsigned, ...covered } = template;
  const opaque = sha256Base64Url(canonicalJson(covered, canonicalOptions(rules)));
  return { ...template, event_id: `$${opaque}:${serverName}` };
}

/** Adds our signature beside those that an event has (invites, restricted joins); id and hashes stay. */
export function signEvent(event: RoomEvent, rules: RoomVersionRules, signer: Signer): RoomEvent {
  return { ...event, pdu: signPdu(event.pdu, rules, signer) };
}

function signPdu(pdu: Pdu, rules: RoomVersionRules, { serverName, keyId, key }: Signer): Pdu {
  const signature = sign(utf8Bytes(signedPduText(pdu, rules)), key);
  return { ...pdu, ...withSignature({ signatures: pdu.signatures }, serverName, keyId, signature) };
}

/**
 * Completes a template: event id (versions 1 and 2), content hash, signature; then the same checks as for foreign events.
 * @throws EventBuildError when the result is no valid event of the room version
 */
export function finishEvent(template: Pdu, rules: RoomVersionRules, signer: Signer): RoomEvent {
  try {
    const { hashes: _hashes, signatures: _signatures, ...bare } = template;
    const pdu = withEventId(bare as Pdu, rules, signer.serverName);
    const checked = checkPdu(signPdu({ ...pdu, hashes: { sha256: contentHash(pdu, rules) } }, rules, signer), rules);
    if (checked.ok) return checked.value;
    throw new EventBuildError(checked.error);
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw new EventBuildError({ kind: 'bad-json', message: error.message });
    throw error;
  }
}

/**
 * A signed event of our own.
 * @throws EventBuildError when it is too large, no canonical JSON or breaks the format
 */
export const buildEvent = (input: BuildInput): RoomEvent => finishEvent(eventTemplate(input), input.rules, input);
