/**
 * The authorisation rules of all room versions (Room Version Specification §Authorisation rules), in the
 * specification's order. `checkAuthEvents` judges what an event cites, `authorise` judges the event against a state:
 * receipt check 4 is both, with the state that the cited events make up; checks 5 and 6 are `authorise` alone.
 */
import { authChecks } from './auth-checks.ts';
import { authoriseMember, membershipOf } from './auth-member.ts';
import { authorisePowerLevels, levelFor, levelToSend, powerLevelOf, powerLevelsFrom } from './auth-power-levels.ts';
import type { AuthChecks, AuthEvent, AuthState, AuthVerdict } from './auth-types.ts';
import { allow, authTypesFor, reject } from './auth-types.ts';
import { parseUserId, serverNameOf } from './ids.ts';
import { memberOf } from './json.ts';
import { type RoomVersionRules, roomVersions } from './room-versions.ts';

/** An event that another one cites, with what its own receipt checks said. */
export interface CitedEvent {
  readonly event: AuthEvent;
  readonly rejected: boolean;
}

/** Judges the entries of an event's `auth_events` (rule 2 of versions 1–11, rule 3 of 12); all must be at hand. */
export function checkAuthEvents(
  event: AuthEvent,
  authEvents: readonly CitedEvent[],
  rules: RoomVersionRules,
): AuthVerdict {
  // A create event is judged by its own rule alone.
  if (event.type === 'm.room.create') return allow;
  const seen = new TupleSet();
  // No two entries for the same piece of state.
  for (const { event: cited } of authEvents) {
    if (cited.stateKey !== undefined && !seen.add(cited.type, cited.stateKey)) {
      return reject(`two auth events of type ${cited.type}`);
    }
  }
  // No entry that the selection would not choose.
  const expected = new TupleSet();
  for (const [type, stateKey] of authTypesFor(event, rules)) expected.add(type, stateKey);
  for (const { event: cited } of authEvents) {
    if (cited.stateKey === undefined || !expected.has(cited.type, cited.stateKey)) {
      return reject(`unexpected auth event of type ${cited.type}`);
    }
  }
  // No rejected entry.
  if (authEvents.some(({ rejected }) => rejected)) return reject('an auth event was rejected');
  // The create event is among them, unless the room id stands for it (version 12 on).
  if (!rules.roomIdIsCreateHash && !seen.has('m.room.create', ''))
    return reject('no create event among the auth events');
  // No entry from another room.
  if (authEvents.some(({ event: cited }) => cited.roomId !== event.roomId)) {
    return reject('an auth event belongs to another room');
  }
  return allow;
}

/** The state that a set of events makes up, such as the cited auth events; later entries win. */
export function authStateOf(events: Iterable<AuthEvent>): AuthState {
  const byType = new Map<string, Map<string, AuthEvent>>();
  for (const event of events) {
    if (event.stateKey === undefined) continue;
    const byKey = byType.get(event.type);
    if (byKey === undefined) byType.set(event.type, new Map([[event.stateKey, event]]));
    else byKey.set(event.stateKey, event);
  }
  return { get: (type, stateKey) => byType.get(type)?.get(stateKey) };
}

/**
 * Judges an event against a state: all rules but those on the entries of `auth_events`. In version 12 `state` must
 * answer with the accepted create event of the room, and only with an accepted one.
 */
export function authorise(
  event: AuthEvent,
  state: AuthState,
  rules: RoomVersionRules,
  checks: AuthChecks = authChecks,
): AuthVerdict {
  if (event.type === 'm.room.create') return authoriseCreate(event, rules);
  const create = state.get('m.room.create', '');
  if (create === undefined) return reject('no create event');
  // The room id must be the id of an accepted create event with the other sigil (version 12 on).
  if (rules.roomIdIsCreateHash && event.roomId.slice(1) !== create.eventId.slice(1)) {
    return reject('the room id does not name the create event');
  }
  // A room with `m.federate: false` is open only to the server of the create event's sender.
  if (memberOf(create.content, 'm.federate') === false && serverNameOf(event.sender) !== serverNameOf(create.sender)) {
    return reject('the room does not federate');
  }
  // `m.room.aliases` has the sender's server as state key, and needs nothing more (versions 1–5).
  if (event.type === 'm.room.aliases' && rules.aliasesAuthRule) return authoriseAliases(event);
  const levels = powerLevelsFrom(create, state.get('m.room.power_levels', ''), rules);
  if (event.type === 'm.room.member') return authoriseMember(event, create, state, levels, rules, checks);
  // All else takes a joined sender.
  if (membershipOf(state, event.sender) !== 'join') return reject('the sender is not joined');
  const own = powerLevelOf(event.sender, levels);
  // A third-party invite takes the invite level, and nothing more.
  if (event.type === 'm.room.third_party_invite') {
    return own >= levelFor('invite', levels) ? allow : reject('the sender may not invite');
  }
  // The event's type may take a higher level than the sender has.
  if (levelToSend(event.type, event.stateKey !== undefined, levels) > own) {
    return reject(`the sender may not send ${event.type}`);
  }
  // A state key that starts with `@` is the sender's own user id.
  if (event.stateKey?.startsWith('@') === true && event.stateKey !== event.sender) {
    return reject('the state key names another user');
  }
  if (event.type === 'm.room.power_levels') return authorisePowerLevels(event, state, levels, rules);
  // In versions 1 and 2 a redaction takes the redact level or the same server in both event ids.
  if (event.type === 'm.room.redaction' && rules.redactionAuthRule) {
    const ownServer = event.redacts !== undefined && serverNameOf(event.redacts) === serverNameOf(event.eventId);
    return own >= levelFor('redact', levels) || ownServer ? allow : reject('the sender may not redact this event');
  }
  return allow;
}

function authoriseCreate(event: AuthEvent, rules: RoomVersionRules): AuthVerdict {
  // The create event comes first.
  if (event.prevEvents.length > 0) return reject('create event with prev_events');
  if (rules.roomIdIsCreateHash) {
    // It cannot name the room whose id is its own hash (version 12 on).
    if (event.pdu !== undefined && memberOf(event.pdu, 'room_id') !== undefined)
      return reject('create event with room_id');
  } else if (serverNameOf(event.roomId) !== serverNameOf(event.sender)) {
    // The room id bears the sender's server name.
    return reject("the room id is not of the sender's server");
  }
  // A room version that is named must be a known one.
  const version = memberOf(event.content, 'room_version');
  if (version !== undefined && !(typeof version === 'string' && roomVersions.has(version))) {
    return reject('unknown room version');
  }
  // The content names a creator (versions 1–10).
  if (rules.creatorInContent && memberOf(event.content, 'creator') === undefined) {
    return reject('create event without creator');
  }
  // Additional creators are a list of user ids (version 12 on).
  const additional = memberOf(event.content, 'additional_creators');
  if (rules.privilegedCreators && additional !== undefined) {
    const valid =
      Array.isArray(additional) &&
      additional.every((userId) => typeof userId === 'string' && parseUserId(userId) !== undefined);
    if (!valid) return reject('additional_creators is not a list of user ids');
  }
  return allow;
}

function authoriseAliases(event: AuthEvent): AuthVerdict {
  if (event.stateKey === undefined) return reject('aliases event without state key');
  return serverNameOf(event.sender) === event.stateKey ? allow : reject("the state key is not the sender's server");
}

class TupleSet {
  readonly #keysByType = new Map<string, Set<string>>();

  /** False when it was there already. */
  add(type: string, stateKey: string): boolean {
    const keys = this.#keysByType.get(type);
    if (keys === undefined) this.#keysByType.set(type, new Set([stateKey]));
    else if (keys.has(stateKey)) return false;
    else keys.add(stateKey);
    return true;
  }

  has(type: string, stateKey: string): boolean {
    return this.#keysByType.get(type)?.has(stateKey) === true;
  }
}
