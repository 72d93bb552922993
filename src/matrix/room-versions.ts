/**
 * Room versions 1–12 as records of named rules (Room Version Specification v1.19): each version is the previous one
 * plus its differences. Code asks for a rule by name, never for a version number.
 */
export type RoomVersion = '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9' | '10' | '11' | '12';

export interface RoomVersionRules {
  readonly version: RoomVersion;
  /** Where an event id comes from: a field of the event, or the reference hash in one of two base64 alphabets. */
  readonly eventIdFormat: 'field' | 'hash-base64' | 'hash-base64url';
  /** `prev_events` and `auth_events` are `[id, {sha256}]` pairs (v1, v2) instead of plain ids. */
  readonly eventReferencesArePairs: boolean;
  /** The server in the event id must have signed too (v1, v2). */
  readonly eventIdServerSigns: boolean;
  readonly stateResolution: 'v1' | 'v2' | 'v2.1';
  /** Signing keys past `valid_until_ts` do not count (v5 on). */
  readonly enforceKeyValidity: boolean;
  /** Integers only, in ±(2^53-1); violating events are refused (v6 on). */
  readonly strictCanonicalJson: boolean;
  /** Types and state keys of more than 255 bytes make an event invalid (v11 on); before, some servers count code points. */
  readonly strictKeyBytes: boolean;
  /** What a power level may be: v1–5 take floats and strings too, v6–9 integers and strings, v10 on integers only. */
  readonly powerLevelFormat: 'loose' | 'integer-or-string' | 'integer';
  /** `notifications` levels are checked on change (v6 on). */
  readonly checkNotificationLevels: boolean;
  /** `m.room.aliases` has an auth rule of its own (v1–5). */
  readonly aliasesAuthRule: boolean;
  /** Auth rule 11 judges `m.room.redaction` (v1, v2); later versions judge on application. */
  readonly redactionAuthRule: boolean;
  readonly knocking: boolean;
  readonly restrictedJoin: boolean;
  readonly knockRestrictedJoin: boolean;
  /** `redacts` stands in `content` (v11 on). */
  readonly redactsInContent: boolean;
  /** `content.creator` names the creator (v1–10); later it is the sender of the create event. */
  readonly creatorInContent: boolean;
  /** The room id is `!` plus the create event's hash; the create event carries no room id and is never an auth event (v12). */
  readonly roomIdIsCreateHash: boolean;
  /** Creators (the create event's sender and `additional_creators`) stand above every power level (v12). */
  readonly privilegedCreators: boolean;
  readonly redaction: RedactionRules;
}

/** What survives a redaction beyond the keys common to all versions. */
export interface RedactionRules {
  /** Top-level `origin`, `membership`, `prev_state` survive (v1–10). */
  readonly keepLegacyTopLevel: boolean;
  /** `m.room.aliases` keeps `aliases` (v1–5). */
  readonly keepAliases: boolean;
  /** `m.room.join_rules` keeps `allow` (v8 on). */
  readonly keepJoinRulesAllow: boolean;
  /** `m.room.member` keeps `join_authorised_via_users_server` (v9 on). */
  readonly keepMemberAuthorisedVia: boolean;
  /** `m.room.member` keeps `third_party_invite.signed` (v11 on). */
  readonly keepMemberThirdPartySigned: boolean;
  /** `m.room.create` keeps its whole content (v11 on). */
  readonly keepCreateContent: boolean;
  /** `m.room.power_levels` keeps `invite` (v11 on). */
  readonly keepPowerLevelsInvite: boolean;
  /** `m.room.redaction` keeps `content.redacts` (v11 on). */
  readonly keepRedacts: boolean;
}

const v1: RoomVersionRules = {
  version: '1',
  eventIdFormat: 'field',
  eventReferencesArePairs: true,
  eventIdServerSigns: true,
  stateResolution: 'v1',
  enforceKeyValidity: false,
  strictCanonicalJson: false,
  strictKeyBytes: false,
  powerLevelFormat: 'loose',
  checkNotificationLevels: false,
  aliasesAuthRule: true,
  redactionAuthRule: true,
  knocking: false,
  restrictedJoin: false,
  knockRestrictedJoin: false,
  redactsInContent: false,
  creatorInContent: true,
  roomIdIsCreateHash: false,
  privilegedCreators: false,
  redaction: {
    keepLegacyTopLevel: true,
    keepAliases: true,
    keepJoinRulesAllow: false,
    keepMemberAuthorisedVia: false,
    keepMemberThirdPartySigned: false,
    keepCreateContent: false,
    keepPowerLevelsInvite: false,
    keepRedacts: false,
  },
};
const v2: RoomVersionRules = { ...v1, version: '2', stateResolution: 'v2' };
const v3: RoomVersionRules = {
  ...v2,
  version: '3',
  eventIdFormat: 'hash-base64',
  eventReferencesArePairs: false,
  eventIdServerSigns: false,
  redactionAuthRule: false,
};
const v4: RoomVersionRules = { ...v3, version: '4', eventIdFormat: 'hash-base64url' };
const v5: RoomVersionRules = { ...v4, version: '5', enforceKeyValidity: true };
const v6: RoomVersionRules = {
  ...v5,
  version: '6',
  strictCanonicalJson: true,
  powerLevelFormat: 'integer-or-string',
  checkNotificationLevels: true,
  aliasesAuthRule: false,
  redaction: { ...v5.redaction, keepAliases: false },
};
const v7: RoomVersionRules = { ...v6, version: '7', knocking: true };
const v8: RoomVersionRules = {
  ...v7,
  version: '8',
  restrictedJoin: true,
  redaction: { ...v7.redaction, keepJoinRulesAllow: true },
};
const v9: RoomVersionRules = { ...v8, version: '9', redaction: { ...v8.redaction, keepMemberAuthorisedVia: true } };
const v10: RoomVersionRules = { ...v9, version: '10', powerLevelFormat: 'integer', knockRestrictedJoin: true };
const v11: RoomVersionRules = {
  ...v10,
  version: '11',
  strictKeyBytes: true,
  redactsInContent: true,
  creatorInContent: false,
  redaction: {
    ...v10.redaction,
    keepLegacyTopLevel: false,
    keepMemberThirdPartySigned: true,
    keepCreateContent: true,
    keepPowerLevelsInvite: true,
    keepRedacts: true,
  },
};
const v12: RoomVersionRules = {
  ...v11,
  version: '12',
  stateResolution: 'v2.1',
  roomIdIsCreateHash: true,
  privilegedCreators: true,
};

/** All room versions served, oldest first. All are stable; 12 is the default. */
export const roomVersions: ReadonlyMap<string, RoomVersionRules> = new Map(
  [v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12].map((rules) => [rules.version, rules]),
);

export const defaultRoomVersion: RoomVersion = '12';

/** The rules of a room version; undefined for one that is not served. */
export const rulesOfVersion = (version: string): RoomVersionRules | undefined => roomVersions.get(version);

/** The version that a create event's content names: a missing `room_version` means "1" (C-S API §m.room.create). */
export function roomVersionOfCreate(content: { readonly room_version?: unknown }): string | undefined {
  const { room_version: version } = content;
  return version === undefined ? '1' : typeof version === 'string' ? version : undefined;
}
