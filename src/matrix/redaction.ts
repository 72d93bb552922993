/**
 * The redaction algorithm (Room Versions v1.19 §Redactions, one list per version): what is left of an event when it is
 * redacted, and also the part of it that signatures and the reference hash cover.
 */
import { type JsonObject, isJsonObject } from './json.ts';
import type { Pdu } from './pdu.ts';
import type { RedactionRules, RoomVersionRules } from './room-versions.ts';

const topLevel = [
  'auth_events',
  'content',
  'depth',
  'event_id',
  'hashes',
  'origin_server_ts',
  'prev_events',
  'room_id',
  'sender',
  'signatures',
  'state_key',
  'type',
];
const legacyTopLevel = [...topLevel, 'membership', 'origin', 'prev_state'];

const powerLevels = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default'];
const powerLevelsWithInvite = [...powerLevels, 'invite'];

function pick(source: JsonObject, keys: readonly string[]): JsonObject {
  const kept: JsonObject = {};
  for (const key of keys) if (Object.hasOwn(source, key)) kept[key] = source[key];
  return kept;
}

function redactMember(content: JsonObject, rules: RedactionRules): JsonObject {
  const kept = pick(
    content,
    rules.keepMemberAuthorisedVia ? ['membership', 'join_authorised_via_users_server'] : ['membership'],
  );
  // "Additionally, it allows the `signed` key of the `third_party_invite` key": the block stays, even if nothing is in it.
  if (rules.keepMemberThirdPartySigned && isJsonObject(content.third_party_invite))
    kept.third_party_invite = pick(content.third_party_invite, ['signed']);
  return kept;
}

/** The members of an event's content that survive its redaction. */
export function redactContent(type: string, content: JsonObject, rules: RedactionRules): JsonObject {
  switch (type) {
    case 'm.room.member':
      return redactMember(content, rules);
    case 'm.room.create':
      return rules.keepCreateContent ? content : pick(content, ['creator']);
    case 'm.room.join_rules':
      return pick(content, rules.keepJoinRulesAllow ? ['join_rule', 'allow'] : ['join_rule']);
    case 'm.room.power_levels':
      return pick(content, rules.keepPowerLevelsInvite ? powerLevelsWithInvite : powerLevels);
    case 'm.room.history_visibility':
      return pick(content, ['history_visibility']);
    case 'm.room.aliases':
      return rules.keepAliases ? pick(content, ['aliases']) : {};
    case 'm.room.redaction':
      return rules.keepRedacts ? pick(content, ['redacts']) : {};
    default:
      return {};
  }
}

/** A redacted copy of an event; the original is not touched, nested values are shared. */
export function redactPdu(pdu: Pdu, rules: RoomVersionRules): Pdu {
  const { redaction } = rules;
  const kept = pick(pdu, redaction.keepLegacyTopLevel ? legacyTopLevel : topLevel);
  return { ...kept, ...pickRequired(pdu), content: redactContent(pdu.type, pdu.content, redaction) };
}

const pickRequired = ({ type, sender, origin_server_ts }: Pdu): Pick<Pdu, 'type' | 'sender' | 'origin_server_ts'> => ({
  type,
  sender,
  origin_server_ts,
});
