/**
 * Push rule evaluation (C-S API v1.19 §Push Rules): a user's ruleset is compiled once, then each event is held against it
 * in order (override, content, room, sender, underride; the first enabled rule that matches decides). Room facts come from
 * the caller, once per event.
 */
import { globMatcher, wordGlobMatcher } from './glob.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { isJsonObject } from './json.ts';
import { parsePath, valueAt } from './property-path.ts';

export const ruleKinds = ['override', 'content', 'room', 'sender', 'underride'] as const;
export type RuleKind = (typeof ruleKinds)[number];

/** A rule as clients write and read it. */
export interface PushRule {
  readonly rule_id: string;
  readonly default: boolean;
  readonly enabled: boolean;
  readonly actions: readonly JsonValue[];
  /** Of override and underride rules. */
  readonly conditions?: readonly JsonValue[];
  /** Of content rules. */
  readonly pattern?: string;
}

/** All rules of a user, each kind from the most to the least important. */
export type Ruleset = Readonly<Record<RuleKind, readonly PushRule[]>>;

/** An event and its room, the same for every user it is held against. */
export interface PushedEvent {
  /** The event in client format: `type`, `sender`, `room_id`, `content`, `state_key` … */
  readonly event: JsonObject;
  readonly roomId: string;
  readonly sender: string;
  /** Joined members. */
  readonly memberCount: number;
  readonly senderPowerLevel: number;
  /** The level that `notifications` of the power levels demands for a key such as `room`; 50 where it says nothing. */
  readonly notificationLevel: (key: string) => number;
}

export interface PushedUser {
  readonly userId: string;
  /** In that room. */
  readonly displayName: string | undefined;
}

/** What a match means. All false and empty: no rule matched, or one that does nothing. */
export interface PushVerdict {
  readonly notify: boolean;
  readonly highlight: boolean;
  readonly sound: string | undefined;
  /** Every tweak by its name, as the push gateway gets them. */
  readonly tweaks: Readonly<JsonObject>;
}

type Condition = (pushed: PushedEvent, user: PushedUser) => boolean;
interface CompiledRule {
  readonly conditions: readonly Condition[];
  readonly verdict: PushVerdict;
}
export type CompiledRuleset = readonly CompiledRule[];

const nothing: PushVerdict = { notify: false, highlight: false, sound: undefined, tweaks: {} };

const never: Condition = () => false;

const stringAt = (event: JsonObject, path: readonly string[]): string | undefined => {
  const value = valueAt(event, path);
  return typeof value === 'string' ? value : undefined;
};

const eventMatch = (key: unknown, pattern: unknown): Condition => {
  if (typeof key !== 'string' || typeof pattern !== 'string') return never;
  const path = parsePath(key);
  const isBody = path.length === 2 && path[0] === 'content' && path[1] === 'body';
  const matches = (isBody ? wordGlobMatcher : globMatcher)(pattern.toLowerCase());
  return ({ event }) => {
    const value = stringAt(event, path);
    return value !== undefined && matches(value.toLowerCase());
  };
};

/** Strings, integers that fit exactly, booleans and null; nothing else can be equal to a condition's value. */
const isScalar = (value: unknown): boolean =>
  value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value);

const propertyIs = (key: unknown, value: unknown): Condition => {
  if (typeof key !== 'string' || !isScalar(value)) return never;
  const path = parsePath(key);
  return ({ event }) => valueAt(event, path) === value;
};

const propertyContains = (key: unknown, value: unknown): Condition => {
  if (typeof key !== 'string' || !isScalar(value)) return never;
  const path = parsePath(key);
  return ({ event }) => {
    const values = valueAt(event, path);
    return Array.isArray(values) && values.some((item) => item === value);
  };
};

const bodyPath = ['content', 'body'];

const containsDisplayName: Condition = ({ event }, { displayName }) => {
  const body = stringAt(event, bodyPath);
  if (body === undefined || displayName === undefined || displayName === '') return false;
  // A name is no pattern: stars and question marks in it must not match other characters.
  const hide = (text: string): string => text.toLowerCase().replaceAll('*', '\u{F0001}').replaceAll('?', '\u{F0000}');
  return wordGlobMatcher(hide(displayName))(hide(body));
};

const memberCount = (is: unknown): Condition => {
  const match = typeof is === 'string' ? /^(==|<=|>=|<|>)?(\d+)$/.exec(is) : null;
  if (match === null) return never;
  const bound = Number(match[2]);
  switch (match[1]) {
    case '<':
      return (pushed) => pushed.memberCount < bound;
    case '>':
      return (pushed) => pushed.memberCount > bound;
    case '<=':
      return (pushed) => pushed.memberCount <= bound;
    case '>=':
      return (pushed) => pushed.memberCount >= bound;
    default:
      return (pushed) => pushed.memberCount === bound;
  }
};

const senderMayNotify = (key: unknown): Condition => {
  if (typeof key !== 'string') return never;
  return ({ senderPowerLevel, notificationLevel }) => senderPowerLevel >= notificationLevel(key);
};

const compileCondition = (condition: JsonValue): Condition => {
  if (!isJsonObject(condition)) return never;
  switch (condition['kind']) {
    case 'event_match':
      return eventMatch(condition['key'], condition['pattern']);
    case 'event_property_is':
      return propertyIs(condition['key'], condition['value']);
    case 'event_property_contains':
      return propertyContains(condition['key'], condition['value']);
    case 'contains_display_name':
      return containsDisplayName;
    case 'room_member_count':
      return memberCount(condition['is']);
    case 'sender_notification_permission':
      return senderMayNotify(condition['key']);
    default:
      // "Unrecognised conditions MUST NOT match any events, effectively making the push rule disabled."
      return never;
  }
};

/** C-S API v1.16 §Predefined Rules: each "should only be enabled if the event does not have an `m.mentions` property". */
const textMentionRules = new Set(['.m.rule.contains_display_name', '.m.rule.roomnotif', '.m.rule.contains_user_name']);

const hasNoMentions: Condition = ({ event }) => valueAt(event, ['content', 'm.mentions']) === undefined;

const compileConditions = (kind: RuleKind, rule: PushRule): readonly Condition[] => {
  const conditions = kindConditions(kind, rule);
  return rule.default && textMentionRules.has(rule.rule_id) ? [hasNoMentions, ...conditions] : conditions;
};

const kindConditions = (kind: RuleKind, rule: PushRule): readonly Condition[] => {
  switch (kind) {
    case 'override':
    case 'underride':
      return (rule.conditions ?? []).map(compileCondition);
    case 'content':
      return [eventMatch('content.body', rule.pattern)];
    case 'room':
      return [({ roomId }) => roomId === rule.rule_id];
    case 'sender':
      return [({ sender }) => sender === rule.rule_id];
  }
};

const verdictOf = (actions: readonly JsonValue[]): PushVerdict => {
  // Of the plain actions only `notify` counts: `dont_notify` and `coalesce` of old clients must be ignored.
  const notify = actions.includes('notify');
  const tweaks: JsonObject = {};
  for (const action of actions) {
    if (!isJsonObject(action) || typeof action['set_tweak'] !== 'string') continue;
    // "If a `highlight` tweak is given with no value, its value is defined to be `true`."
    tweaks[action['set_tweak']] = action['value'] ?? (action['set_tweak'] === 'highlight' ? true : null);
  }
  const sound = tweaks['sound'];
  return {
    notify,
    highlight: tweaks['highlight'] === true,
    sound: typeof sound === 'string' ? sound : undefined,
    tweaks,
  };
};

/** Prepares a ruleset for many events; disabled rules are dropped. */
export const compileRuleset = (ruleset: Ruleset): CompiledRuleset =>
  ruleKinds.flatMap((kind) =>
    ruleset[kind]
      .filter(({ enabled }) => enabled)
      .map((rule) => ({ conditions: compileConditions(kind, rule), verdict: verdictOf(rule.actions) })),
  );

/** What the user's rules say about an event; nothing for events that the user has sent. */
export const evaluatePushRules = (rules: CompiledRuleset, pushed: PushedEvent, user: PushedUser): PushVerdict => {
  if (pushed.sender === user.userId) return nothing;
  const rule = rules.find(({ conditions }) => conditions.every((holds) => holds(pushed, user)));
  return rule?.verdict ?? nothing;
};
