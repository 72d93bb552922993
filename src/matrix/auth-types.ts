/**
 * What authorisation works on: the part of an event that the rules read, the state they are read against, the verdict,
 * and which state an event must cite as its authority (S-S API v1.19 §Auth events selection).
 */
import { type JsonObject, asString, memberOf } from './json.ts';
import type { Pdu, RoomEvent } from './pdu.ts';
import type { RoomVersionRules } from './room-versions.ts';

/** The part of an event that authorisation reads. `pdu` is only looked at for create events. */
export type AuthEvent = Pick<
  RoomEvent,
  'eventId' | 'roomId' | 'type' | 'stateKey' | 'sender' | 'content' | 'prevEvents' | 'redacts'
> & { readonly pdu?: Pdu };

/** State to authorise against. In room version 12 it must answer for the create event too, though no event cites it. */
export interface AuthState {
  get(type: string, stateKey: string): AuthEvent | undefined;
}

/** True when one of `publicKeys` (unpadded base64) made one of the signatures of `signed`, a third-party invite's block. */
export type VerifyThirdPartySigned = (signed: JsonObject, publicKeys: readonly string[]) => boolean;

/** Functions that the rules need and that are not theirs. */
export interface AuthChecks {
  readonly verifyThirdPartySigned: VerifyThirdPartySigned;
}

export type AuthVerdict = { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

export const allow: AuthVerdict = { allowed: true };
export const reject = (reason: string): AuthVerdict => ({ allowed: false, reason });

/** `[type, stateKey]` of a piece of state. */
export type StateTuple = readonly [type: string, stateKey: string];

/** What an event, possibly not yet built, must say about itself for its auth events to be chosen. */
export interface AuthSubject {
  readonly type: string;
  readonly stateKey: string | undefined;
  readonly sender: string;
  readonly content: JsonObject;
}

/** `content.membership` of a member event; undefined when it is absent or no string. */
export const membershipIn = (content: JsonObject): string | undefined => asString(memberOf(content, 'membership'));

/**
 * The state tuples that an event's `auth_events` are taken from, without duplicates (S-S API §Auth events selection).
 * Those without an event in the room's state are simply left out by the caller.
 */
export function authTypesFor(event: AuthSubject, rules: RoomVersionRules): StateTuple[] {
  // The create event itself cites nothing.
  if (event.type === 'm.room.create') return [];
  const tuples: StateTuple[] = [];
  // From version 12 on the room id stands for the create event.
  if (!rules.roomIdIsCreateHash) tuples.push(['m.room.create', '']);
  tuples.push(['m.room.power_levels', ''], ['m.room.member', event.sender]);
  if (event.type === 'm.room.member' && event.stateKey !== undefined) {
    addMemberAuthTypes(tuples, event, event.stateKey, rules);
  }
  return tuples;
}

function addMemberAuthTypes(tuples: StateTuple[], event: AuthSubject, target: string, rules: RoomVersionRules): void {
  const members = new Set([event.sender]);
  const addMember = (userId: string): void => {
    if (members.has(userId)) return;
    members.add(userId);
    tuples.push(['m.room.member', userId]);
  };
  const membership = membershipIn(event.content);
  // Always the target's membership.
  addMember(target);
  // The join rules, for a join, invite or knock.
  if (membership === 'join' || membership === 'invite' || membership === 'knock') {
    tuples.push(['m.room.join_rules', '']);
  }
  // The third-party invite that an invite redeems, by its token.
  if (membership === 'invite') {
    const signed = memberOf(memberOf(event.content, 'third_party_invite'), 'signed');
    const token = asString(memberOf(signed, 'token'));
    if (token !== undefined) tuples.push(['m.room.third_party_invite', token]);
  }
  // The member who vouches for a restricted join.
  if (membership === 'join' && rules.restrictedJoin) {
    const authoriser = asString(memberOf(event.content, 'join_authorised_via_users_server'));
    if (authoriser !== undefined) addMember(authoriser);
  }
}
