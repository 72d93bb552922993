import { describe, expect, test } from '@jest/globals';
import { defaultRuleset, fullRuleset } from '../../../src/matrix/default-push-rules.ts';
import type { JsonObject, JsonValue } from '../../../src/matrix/json.ts';
import type { PushRule, PushVerdict, RuleKind } from '../../../src/matrix/push-rules.ts';
import { compileRuleset, evaluatePushRules, ruleKinds } from '../../../src/matrix/push-rules.ts';

const me = '@me:x';
const own = (id: string, actions: JsonValue[], more: Partial<PushRule> = {}): PushRule => ({
  rule_id: id,
  default: false,
  enabled: true,
  actions,
  ...more,
});
const event = (content: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: 'm.room.message',
  sender: '@you:x',
  room_id: '!r:x',
  content,
  ...more,
});

interface Situation {
  rules?: Partial<Record<RuleKind, PushRule[]>>;
  changed?: Record<string, { enabled?: boolean; actions?: JsonValue[] }>;
  memberCount?: number;
  senderPowerLevel?: number;
  displayName?: string;
  textMentions?: boolean;
}
const evaluate = (pushed: JsonObject, situation: Situation = {}): PushVerdict =>
  evaluatePushRules(
    compileRuleset(
      fullRuleset(
        me,
        { own: situation.rules ?? {}, changed: new Map(Object.entries(situation.changed ?? {})) },
        { textMentions: situation.textMentions ?? false },
      ),
    ),
    {
      event: pushed,
      roomId: '!r:x',
      sender: String(pushed['sender']),
      memberCount: situation.memberCount ?? 3,
      senderPowerLevel: situation.senderPowerLevel ?? 0,
      notificationLevel: () => 50,
    },
    { userId: me, displayName: situation.displayName },
  );
/** Whether a rule with this one condition matches. */
const holds = (condition: JsonValue, pushed: JsonObject, situation: Situation = {}): boolean =>
  evaluate(pushed, {
    ...situation,
    rules: { override: [own('x', [{ set_tweak: 'hit' }], { conditions: [condition] })] },
  }).tweaks['hit'] !== undefined;

describe('the predefined rules', () => {
  test('are those of the specification in its order', () => {
    const ids = ruleKinds.map((kind) =>
      defaultRuleset(me, { textMentions: false })[kind].map(({ rule_id: id }) => id.replace('.m.rule.', '')),
    );
    expect(ids).toEqual([
      [
        'master',
        'suppress_notices',
        'invite_for_me',
        'member_event',
        'is_user_mention',
        'is_room_mention',
        'tombstone',
        'reaction',
        'room.server_acl',
        'suppress_edits',
      ],
      [],
      [],
      [],
      ['call', 'encrypted_room_one_to_one', 'room_one_to_one', 'message', 'encrypted'],
    ]);
  });

  const nothing = { notify: false, highlight: false, sound: undefined };
  const quiet = { notify: true, highlight: false, sound: undefined };
  const loud = { notify: true, highlight: false, sound: 'default' };
  test.each<[string, JsonObject, Situation, object]>([
    ['a message in a group notifies', event({ body: 'hi' }), {}, quiet],
    ['a message between two makes a sound', event({ body: 'hi' }), { memberCount: 2 }, loud],
    ['an encrypted one too', event({}, { type: 'm.room.encrypted' }), { memberCount: 2 }, loud],
    ['a notice does nothing', event({ body: 'hi', msgtype: 'm.notice' }), {}, nothing],
    ['a custom event does nothing', event({}, { type: 'org.example' }), {}, nothing],
    ['a reaction does nothing', event({}, { type: 'm.reaction' }), {}, nothing],
    ['a call rings', event({}, { type: 'm.call.invite' }), {}, { ...quiet, sound: 'ring' }],
    [
      'an invitation of the user makes a sound',
      event({ membership: 'invite' }, { type: 'm.room.member', state_key: me }),
      {},
      loud,
    ],
    [
      "another's invitation does nothing",
      event({ membership: 'invite' }, { type: 'm.room.member', state_key: '@z:x' }),
      {},
      nothing,
    ],
    ['a mention highlights', event({ body: '', 'm.mentions': { user_ids: [me] } }), {}, { ...loud, highlight: true }],
    [
      'a room mention highlights when the sender may',
      event({ body: '', 'm.mentions': { room: true } }),
      { senderPowerLevel: 50 },
      { ...quiet, highlight: true },
    ],
    ['and not when the sender may not', event({ body: '', 'm.mentions': { room: true } }), {}, quiet],
    [
      'an upgrade highlights',
      event({}, { type: 'm.room.tombstone', state_key: '' }),
      {},
      { ...quiet, highlight: true },
    ],
    ['a tombstone that is no state does nothing', event({}, { type: 'm.room.tombstone' }), {}, nothing],
    [
      'an edit does nothing',
      event({ body: '* x', 'm.relates_to': { rel_type: 'm.replace', event_id: '$e' } }),
      {},
      nothing,
    ],
    ["the user's own event does nothing", event({ body: 'hi' }, { sender: me }), {}, nothing],
    [
      'with the master rule on nothing does',
      event({ body: 'hi' }),
      { changed: { '.m.rule.master': { enabled: true } } },
      nothing,
    ],
  ])('%s', (_, pushed, situation, expected) => {
    expect(evaluate(pushed, situation)).toMatchObject(expected);
  });

  const called = { displayName: 'Ann * Lee', textMentions: true };
  const highlighted = { ...loud, highlight: true };
  test.each<[string, JsonObject, Situation, object]>([
    ['the user name in a text', event({ body: 'Look, Me: tea' }), called, highlighted],
    ['the user id in a text', event({ body: 'Look, @me:x' }), called, highlighted],
    ['the display name in a text', event({ body: 'ann * lee?' }), called, highlighted],
    [
      '@room from who may',
      event({ body: 'hi @room' }),
      { ...called, senderPowerLevel: 50 },
      { ...highlighted, sound: undefined },
    ],
  ])('%s highlights if the server takes it for a mention', (_, pushed, situation, expected) => {
    expect(evaluate(pushed, situation)).toMatchObject(expected);
    expect(evaluate(pushed, { ...situation, textMentions: false })).toMatchObject(quiet);
    const declared = { ...pushed, content: { ...(pushed['content'] as JsonObject), 'm.mentions': {} } };
    expect(evaluate(declared, situation)).toMatchObject(quiet);
  });

  test.each([['home'], ['anne * lee'], ['ann and lee'], ['@room']])('%s is no mention', (body) => {
    expect(evaluate(event({ body }), called)).toMatchObject(quiet);
  });

  test('their actions and switches can be changed', () => {
    const changed = { '.m.rule.message': { actions: ['notify', { set_tweak: 'sound', value: 'bell' }] } };
    expect(evaluate(event({ body: 'hi' }), { changed })).toMatchObject({ sound: 'bell' });
    expect(evaluate(event({ body: 'hi' }), { changed: { '.m.rule.message': { enabled: false } } }).notify).toBe(false);
  });
});

describe('order', () => {
  test("a user's rules go before the predefined, and override, content, room, sender, underride follow each other", () => {
    const all: Record<RuleKind, PushRule> = {
      override: own('o', [{ set_tweak: 'from', value: 'override' }], { conditions: [] }),
      content: own('c', [{ set_tweak: 'from', value: 'content' }], { pattern: 'hi' }),
      room: own('!r:x', [{ set_tweak: 'from', value: 'room' }]),
      sender: own('@you:x', [{ set_tweak: 'from', value: 'sender' }]),
      underride: own('u', [{ set_tweak: 'from', value: 'underride' }], { conditions: [] }),
    };
    ruleKinds.forEach((kind, index) => {
      const rules = Object.fromEntries(ruleKinds.slice(index).map((later) => [later, [all[later]]]));
      expect(evaluate(event({ body: 'say Hi' }), { rules }).tweaks['from']).toBe(kind);
    });
  });

  test('of one kind the first enabled rule that matches decides, and no later one adds to it', () => {
    const rules = {
      content: [
        own('off', ['notify'], { pattern: 'tea', enabled: false }),
        own('time', [], { pattern: 'time' }),
        own('tea', ['notify'], { pattern: 'tea' }),
      ],
    };
    expect(evaluate(event({ body: "It's time for tea" }), { rules }).notify).toBe(false);
    expect(evaluate(event({ body: 'tea' }), { rules }).notify).toBe(true);
  });

  test('room and sender rules concern their id only', () => {
    const rules = { room: [own('!other:x', [])], sender: [own('@other:x', [])] };
    expect(evaluate(event({ body: 'hi' }), { rules }).notify).toBe(true);
  });
});

describe('actions', () => {
  const act = (...actions: JsonValue[]): PushVerdict =>
    evaluate(event({}), { rules: { override: [own('x', actions, { conditions: [] })] } });

  test('dont_notify and coalesce of old clients are ignored', () => {
    expect(act('dont_notify').notify).toBe(false);
    expect(act('coalesce').notify).toBe(false);
    expect(act('notify', 'dont_notify').notify).toBe(true);
  });

  test('a highlight without a value is true, and false is false', () => {
    expect(act({ set_tweak: 'highlight' }).highlight).toBe(true);
    expect(act({ set_tweak: 'highlight', value: false }).highlight).toBe(false);
  });

  test('unknown tweaks are passed on', () => {
    expect(act('notify', { set_tweak: 'flash', value: 3 }).tweaks).toEqual({ flash: 3 });
  });
});

describe('conditions', () => {
  test('event_match matches the whole value of a string without regard to case', () => {
    const topic = (pattern: string) => ({ kind: 'event_match', key: 'content.topic', pattern });
    const matches = (pattern: string, value: JsonValue) => holds(topic(pattern), event({ topic: value }));
    expect([matches('lunc?*', 'Lunch plans'), matches('lunc?*', 'LUNCH'), matches('LUNC?*', 'lunch')]).toEqual([
      true,
      true,
      true,
    ]);
    expect([matches('lunc?*', ' lunch'), matches('lunc?*', 'lunc'), matches('*', null)]).toEqual([false, false, false]);
    expect(holds(topic('*'), event({}))).toBe(false);
    expect(holds({ kind: 'event_match', key: 'state_key', pattern: '' }, event({}, { state_key: '' }))).toBe(true);
  });

  test('event_match on content.body matches at word boundaries', () => {
    const body = { kind: 'event_match', key: 'content.body', pattern: 'ex*ple' };
    expect(holds(body, event({ body: 'An exciting triple-whammy' }))).toBe(true);
    expect(holds(body, event({ body: 'counterexample' }))).toBe(false);
  });

  test('event_property_is compares exactly', () => {
    const federate = (value: JsonValue) => ({ kind: 'event_property_is', key: 'content.m\\.federate', value });
    expect(holds(federate(true), event({ 'm.federate': true }))).toBe(true);
    expect(holds(federate(true), event({ 'm.federate': 'true' }))).toBe(false);
    expect(holds(federate(null), event({ 'm.federate': null }))).toBe(true);
    expect(holds(federate(null), event({}))).toBe(false);
    expect(holds(federate([1]), event({ 'm.federate': [1] }))).toBe(false);
    expect(holds(federate(1.5), event({ 'm.federate': 1.5 }))).toBe(false);
  });

  test('event_property_contains looks for an exact item of an array', () => {
    const aliases = { kind: 'event_property_contains', key: 'content.alt_aliases', value: '#a:x' };
    expect(holds(aliases, event({ alt_aliases: [{}, '#a:x'] }))).toBe(true);
    expect(holds(aliases, event({ alt_aliases: ['#a:xy'] }))).toBe(false);
    expect(holds(aliases, event({ alt_aliases: '#a:x' }))).toBe(false);
  });

  test('contains_display_name looks for the name as it is', () => {
    const named = { kind: 'contains_display_name' };
    expect(holds(named, event({ body: 'hello AL*CE!' }), { displayName: 'al*ce' })).toBe(true);
    expect(holds(named, event({ body: 'hello alice' }), { displayName: 'al*ce' })).toBe(false);
    expect(holds(named, event({ body: 'hello' }))).toBe(false);
    expect(holds(named, event({ body: 'hello' }), { displayName: '' })).toBe(false);
  });

  test.each([
    ['3', true],
    ['==3', true],
    ['<3', false],
    ['<=3', true],
    ['>2', true],
    ['>=4', false],
    ['=3', false],
    ['three', false],
  ])('room_member_count %s of three members is %s', (is, expected) => {
    expect(holds({ kind: 'room_member_count', is }, event({}))).toBe(expected);
  });

  test('sender_notification_permission compares the power level', () => {
    const room = { kind: 'sender_notification_permission', key: 'room' };
    expect(holds(room, event({}), { senderPowerLevel: 49 })).toBe(false);
    expect(holds(room, event({}), { senderPowerLevel: 50 })).toBe(true);
  });

  test('unknown and malformed conditions never match', () => {
    for (const condition of [{ kind: 'org.example' }, 'event_match', {}, { kind: 'event_match', key: 'type' }]) {
      expect(holds(condition, event({}))).toBe(false);
    }
  });
});
