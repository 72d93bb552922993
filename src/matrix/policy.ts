/**
 * Policy servers (S-S API v1.19 §Policy Servers): what `m.room.policy` says, and whether an event has their signature.
 */
import { decodeBase64, utf8Bytes } from '../util/bytes.ts';
import { verify } from './crypto/ed25519.ts';
import { parseServerName, type ServerName } from './ids.ts';
import { asString, type JsonObject, memberOf } from './json.ts';
import { type RoomEvent, signedPduText } from './pdu.ts';
import type { RoomVersionRules } from './room-versions.ts';

export const policyType = 'm.room.policy';
/** "The Key ID for the `ed25519` key in `m.room.policy` is *always* `ed25519:policy_server`." */
export const policyKeyId = 'ed25519:policy_server';

export interface Policy {
  /** The policy server; a user of it must be joined. */
  readonly via: ServerName;
  readonly publicKey: Uint8Array;
}

/** What the content of an `m.room.policy` event names; undefined when it is not valid: then the room has no policy server. */
export function policyIn(content: JsonObject | undefined): Policy | undefined {
  const via = parseServerName(asString(memberOf(content, 'via')) ?? '');
  const publicKey = decodeBase64(asString(memberOf(memberOf(content, 'public_keys'), 'ed25519')) ?? '');
  return via === undefined || publicKey?.length !== 32 ? undefined : { via, publicKey };
}

/** "the Policy Server is not asked to sign `m.room.policy` state events with empty string `state_key`s". */
export const needsNoPolicy = ({ type, stateKey }: Pick<RoomEvent, 'type' | 'stateKey'>): boolean =>
  type === policyType && stateKey === '';

/** Whether a signature (unpadded base64) of the policy server for an event is valid. */
export function isPolicySignature(event: RoomEvent, rules: RoomVersionRules, policy: Policy, text: unknown): boolean {
  const signature = typeof text === 'string' ? decodeBase64(text) : undefined;
  if (signature === undefined) return false;
  return verify(utf8Bytes(signedPduText(event.pdu, rules)), signature, policy.publicKey);
}

/** Whether the event carries the policy server's valid signature. */
export const isRecommended = (event: RoomEvent, rules: RoomVersionRules, policy: Policy): boolean =>
  isPolicySignature(event, rules, policy, memberOf(memberOf(event.pdu.signatures, policy.via), policyKeyId));
