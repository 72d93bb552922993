/**
 * Auth rules for `m.room.member` (rule 5 of room versions 1–5 and 12, rule 4 of 6–11), in the specification's order.
 * That a restricted join carries the signature of the authorising user's server is part of the signature check, before
 * these rules are reached.
 */
import type { AuthChecks, AuthEvent, AuthState, AuthVerdict } from './auth-types.ts';
import { allow, membershipIn, reject } from './auth-types.ts';
import { type PowerLevels, creatorsOf, levelFor, powerLevelOf } from './auth-power-levels.ts';
import { type JsonObject, type JsonValue, asString, isJsonObject, memberOf } from './json.ts';
import type { RoomVersionRules } from './room-versions.ts';

interface MemberCase {
  readonly event: AuthEvent;
  readonly target: string;
  readonly create: AuthEvent;
  readonly state: AuthState;
  readonly levels: PowerLevels;
  readonly rules: RoomVersionRules;
  readonly checks: AuthChecks;
}

/** A user's membership in this state; undefined without a member event. */
export function membershipOf(state: AuthState, userId: string): string | undefined {
  const member = state.get('m.room.member', userId);
  return member === undefined ? undefined : membershipIn(member.content);
}

/** The join rule in this state; a room without one is invite-only. */
export function joinRuleOf(state: AuthState): string {
  const joinRules = state.get('m.room.join_rules', '');
  return (joinRules && asString(memberOf(joinRules.content, 'join_rule'))) ?? 'invite';
}

/** Judges a member event. `levels` are those in force in `state`. */
export function authoriseMember(
  event: AuthEvent,
  create: AuthEvent,
  state: AuthState,
  levels: PowerLevels,
  rules: RoomVersionRules,
  checks: AuthChecks,
): AuthVerdict {
  // A member event has a state key and a membership.
  if (event.stateKey === undefined) return reject('member event without state key');
  const membership = membershipIn(event.content);
  if (membership === undefined) return reject('member event without membership');
  const given: MemberCase = { event, target: event.stateKey, create, state, levels, rules, checks };
  switch (membership) {
    case 'join':
      return authoriseJoin(given);
    case 'invite':
      return authoriseInvite(given);
    case 'leave':
      return authoriseLeave(given);
    case 'ban':
      return authoriseBan(given);
    case 'knock':
      // Knocking exists from version 7 on; before, the membership is unknown.
      return rules.knocking ? authoriseKnock(given) : reject('unknown membership');
    default:
      return reject('unknown membership');
  }
}

function authoriseJoin(given: MemberCase): AuthVerdict {
  const { event, target, create, state, rules } = given;
  // The creator's join right behind the create event needs nothing more. In version 12 only the create event's sender
  // is meant, not the additional creators.
  const [previous] = event.prevEvents;
  if (event.prevEvents.length === 1 && previous === create.eventId) {
    const founder = rules.creatorInContent ? creatorsOf(create, rules).has(target) : create.sender === target;
    if (founder) return allow;
  }
  // Nobody joins for somebody else.
  if (event.sender !== target) return reject('cannot join for another user');
  // Who is banned does not join.
  const membership = membershipOf(state, target);
  if (membership === 'ban') return reject('banned users cannot join');
  const invited = membership === 'invite' || membership === 'join';
  const joinRule = joinRuleOf(state);
  // `invite`, and from version 7 on `knock`, let in who is invited or joined already.
  if (joinRule === 'invite' || (joinRule === 'knock' && rules.knocking)) {
    return invited ? allow : reject('not invited');
  }
  // Restricted rules let in who is invited or joined already, else who is vouched for.
  if (isRestricted(joinRule, rules)) return invited ? allow : authoriseVouchedJoin(given);
  // `public` lets everybody in.
  if (joinRule === 'public') return allow;
  return reject('the join rule does not admit a join');
}

const isRestricted = (joinRule: string, rules: RoomVersionRules): boolean =>
  (joinRule === 'restricted' && rules.restrictedJoin) || (joinRule === 'knock_restricted' && rules.knockRestrictedJoin);

function authoriseVouchedJoin({ event, state, levels }: MemberCase): AuthVerdict {
  // The user who vouches must be joined and allowed to invite.
  const authoriser = asString(memberOf(event.content, 'join_authorised_via_users_server'));
  if (authoriser === undefined) return reject('restricted join without an authorising user');
  if (membershipOf(state, authoriser) !== 'join') return reject('the authorising user is not joined');
  if (powerLevelOf(authoriser, levels) < levelFor('invite', levels)) {
    return reject('the authorising user may not invite');
  }
  return allow;
}

function authoriseInvite(given: MemberCase): AuthVerdict {
  const { event, target, state, levels } = given;
  // An invite that redeems a third-party invite has rules of its own.
  const thirdParty = memberOf(event.content, 'third_party_invite');
  if (thirdParty !== undefined) return authoriseThirdParty(given, thirdParty);
  // Who invites must be joined.
  if (membershipOf(state, event.sender) !== 'join') return reject('the sender is not joined');
  // Joined and banned users cannot be invited.
  const membership = membershipOf(state, target);
  if (membership === 'join' || membership === 'ban')
    return reject(`cannot invite a user whose membership is ${membership}`);
  // Inviting takes the invite level.
  if (powerLevelOf(event.sender, levels) >= levelFor('invite', levels)) return allow;
  return reject('the sender may not invite');
}

function authoriseThirdParty({ event, target, state, checks }: MemberCase, thirdParty: JsonValue): AuthVerdict {
  // Not for a banned user.
  if (membershipOf(state, target) === 'ban') return reject('cannot invite a banned user');
  // There must be a `signed` block with `mxid` and `token`.
  const signed = memberOf(thirdParty, 'signed');
  if (!isJsonObject(signed)) return reject('third-party invite without signed block');
  const token = asString(memberOf(signed, 'token'));
  const mxid = memberOf(signed, 'mxid');
  if (token === undefined || mxid === undefined) return reject('third-party invite without mxid or token');
  // It must name the invited user.
  if (mxid !== target) return reject('third-party invite for another user');
  // The token must be that of a third-party invite in the room, by the same sender.
  const invite = state.get('m.room.third_party_invite', token);
  if (invite === undefined) return reject('no third-party invite with this token');
  if (invite.sender !== event.sender) return reject('third-party invite by another sender');
  // And one of its keys must have signed.
  if (checks.verifyThirdPartySigned(signed, thirdPartyKeys(invite.content))) return allow;
  return reject('third-party invite not signed by a known key');
}

/** The public keys of an `m.room.third_party_invite` event: `public_key`, and those in the list `public_keys`. */
function thirdPartyKeys(content: JsonObject): string[] {
  const keys: string[] = [];
  const single = asString(memberOf(content, 'public_key'));
  if (single !== undefined) keys.push(single);
  const list = memberOf(content, 'public_keys');
  if (!Array.isArray(list)) return keys;
  for (const entry of list) {
    const key = asString(memberOf(entry, 'public_key'));
    if (key !== undefined) keys.push(key);
  }
  return keys;
}

function authoriseLeave({ event, target, state, levels, rules }: MemberCase): AuthVerdict {
  // To leave, or to turn down an invite or withdraw a knock, one must be joined, invited or (version 7 on) have knocked.
  const membership = membershipOf(state, target);
  if (event.sender === target) {
    const present = membership === 'invite' || membership === 'join' || (membership === 'knock' && rules.knocking);
    return present ? allow : reject('the sender is not in the room');
  }
  // Who kicks must be joined.
  if (membershipOf(state, event.sender) !== 'join') return reject('the sender is not joined');
  const own = powerLevelOf(event.sender, levels);
  // Lifting a ban takes the ban level too.
  if (membership === 'ban' && own < levelFor('ban', levels)) return reject('the sender may not unban');
  // Kicking takes the kick level and a target below the sender.
  if (own >= levelFor('kick', levels) && powerLevelOf(target, levels) < own) return allow;
  return reject('the sender may not kick this user');
}

function authoriseBan({ event, target, state, levels }: MemberCase): AuthVerdict {
  // Who bans must be joined.
  if (membershipOf(state, event.sender) !== 'join') return reject('the sender is not joined');
  const own = powerLevelOf(event.sender, levels);
  // Banning takes the ban level and a target below the sender.
  if (own >= levelFor('ban', levels) && powerLevelOf(target, levels) < own) return allow;
  return reject('the sender may not ban this user');
}

function authoriseKnock({ event, target, state, rules }: MemberCase): AuthVerdict {
  // The join rule must be one that lets users knock.
  const joinRule = joinRuleOf(state);
  if (joinRule !== 'knock' && !(joinRule === 'knock_restricted' && rules.knockRestrictedJoin)) {
    return reject('the join rule does not admit knocks');
  }
  // Nobody knocks for somebody else.
  if (event.sender !== target) return reject('cannot knock for another user');
  // Who is banned, invited or joined does not knock.
  const membership = membershipOf(state, target);
  if (membership === 'ban' || membership === 'invite' || membership === 'join') {
    return reject(`cannot knock with membership ${membership}`);
  }
  return allow;
}
