/**
 * The rules that every user has (C-S API v1.19 §Predefined Rules), and how they stand together with the user's own:
 * below them within each kind, save for `.m.rule.master`, which stands above everything. The rules that look for mentions
 * in a message's text are those of v1.16, which v1.17 removed.
 */
import type { JsonValue } from './json.ts';
import type { PushRule, RuleKind, Ruleset } from './push-rules.ts';

const sound = (value: string): JsonValue => ({ set_tweak: 'sound', value });
const highlight: JsonValue = { set_tweak: 'highlight' };
const matches = (key: string, pattern: string): JsonValue => ({ kind: 'event_match', key, pattern });
const isOneToOne: JsonValue = { kind: 'room_member_count', is: '2' };

const rule = (id: string, conditions: JsonValue[], actions: JsonValue[], enabled = true): PushRule => ({
  rule_id: id,
  default: true,
  enabled,
  conditions,
  actions,
});

const master = rule('.m.rule.master', [], [], false);

/** What a server chooses about the predefined rules. */
export interface DefaultRuleChoice {
  /** Whether there are the rules that take a name in the text of a message without `m.mentions` for a mention. */
  readonly textMentions: boolean;
}

const displayNameInText = rule(
  '.m.rule.contains_display_name',
  [{ kind: 'contains_display_name' }],
  ['notify', sound('default'), highlight],
);

const roomInText = rule(
  '.m.rule.roomnotif',
  [matches('content.body', '@room'), { kind: 'sender_notification_permission', key: 'room' }],
  ['notify', highlight],
);

const userNameInText = (localpart: string): PushRule => ({
  rule_id: '.m.rule.contains_user_name',
  default: true,
  enabled: true,
  pattern: localpart,
  actions: ['notify', sound('default'), highlight],
});

const override = (userId: string, { textMentions }: DefaultRuleChoice): PushRule[] => [
  rule('.m.rule.suppress_notices', [matches('content.msgtype', 'm.notice')], []),
  rule(
    '.m.rule.invite_for_me',
    [matches('type', 'm.room.member'), matches('content.membership', 'invite'), matches('state_key', userId)],
    ['notify', sound('default')],
  ),
  rule('.m.rule.member_event', [matches('type', 'm.room.member')], []),
  rule(
    '.m.rule.is_user_mention',
    [{ kind: 'event_property_contains', key: 'content.m\\.mentions.user_ids', value: userId }],
    ['notify', sound('default'), highlight],
  ),
  ...(textMentions ? [displayNameInText] : []),
  rule(
    '.m.rule.is_room_mention',
    [
      { kind: 'event_property_is', key: 'content.m\\.mentions.room', value: true },
      { kind: 'sender_notification_permission', key: 'room' },
    ],
    ['notify', highlight],
  ),
  ...(textMentions ? [roomInText] : []),
  rule('.m.rule.tombstone', [matches('type', 'm.room.tombstone'), matches('state_key', '')], ['notify', highlight]),
  rule('.m.rule.reaction', [matches('type', 'm.reaction')], []),
  rule('.m.rule.room.server_acl', [matches('type', 'm.room.server_acl'), matches('state_key', '')], []),
  rule(
    '.m.rule.suppress_edits',
    [{ kind: 'event_property_is', key: 'content.m\\.relates_to.rel_type', value: 'm.replace' }],
    [],
  ),
];

/** For a user whose name is known: an empty one would be in every text. */
const content = (userId: string, { textMentions }: DefaultRuleChoice): PushRule[] => {
  const localpart = userId.slice(1, userId.indexOf(':'));
  return textMentions && localpart !== '' ? [userNameInText(localpart)] : [];
};

const underride: readonly PushRule[] = [
  rule('.m.rule.call', [matches('type', 'm.call.invite')], ['notify', sound('ring')]),
  rule(
    '.m.rule.encrypted_room_one_to_one',
    [isOneToOne, matches('type', 'm.room.encrypted')],
    ['notify', sound('default')],
  ),
  rule('.m.rule.room_one_to_one', [isOneToOne, matches('type', 'm.room.message')], ['notify', sound('default')]),
  rule('.m.rule.message', [matches('type', 'm.room.message')], ['notify']),
  rule('.m.rule.encrypted', [matches('type', 'm.room.encrypted')], ['notify']),
];

/** What a user has changed: rules of their own, and switches and actions of the predefined ones by rule id. */
export interface UserRules {
  /** From the most to the least important. */
  readonly own: Readonly<Partial<Record<RuleKind, readonly PushRule[]>>>;
  readonly changed: ReadonlyMap<
    string,
    { readonly enabled?: boolean | undefined; readonly actions?: readonly JsonValue[] | undefined }
  >;
}

/** The user's whole ruleset as `GET /pushrules/global/` shows it and `compileRuleset` takes it. */
export const fullRuleset = (userId: string, { own, changed }: UserRules, choice: DefaultRuleChoice): Ruleset => {
  const predefined = (rules: readonly PushRule[]): PushRule[] =>
    rules.map((defaultRule) => {
      const change = changed.get(defaultRule.rule_id);
      return {
        ...defaultRule,
        enabled: change?.enabled ?? defaultRule.enabled,
        actions: change?.actions ?? defaultRule.actions,
      };
    });
  return {
    override: [...predefined([master]), ...(own.override ?? []), ...predefined(override(userId, choice))],
    content: [...(own.content ?? []), ...predefined(content(userId, choice))],
    room: own.room ?? [],
    sender: own.sender ?? [],
    underride: [...(own.underride ?? []), ...predefined(underride)],
  };
};

/** The ruleset of a user who has changed nothing. */
export const defaultRuleset = (userId: string, choice: DefaultRuleChoice): Ruleset =>
  fullRuleset(userId, { own: {}, changed: new Map() }, choice);
