import { describe, expect, test } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import { checkPdu, maxEventBytes } from '../../src/matrix/pdu-check.ts';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import { type RoomVersionRules, roomVersions, rulesOfVersion } from '../../src/matrix/room-versions.ts';

const rulesOf = (version: string): RoomVersionRules => {
  const rules = rulesOfVersion(version);
  if (rules === undefined) throw new Error(version);
  return rules;
};
const hashRoom = `!${'r'.repeat(43)}`;
const reference = (rules: RoomVersionRules, n: number) =>
  rules.eventReferencesArePairs ? [`$${n}:x.org`, { sha256: 'abc' }] : `$${n}`;

function fixture(rules: RoomVersionRules): JsonObject {
  const event: JsonObject = {
    type: 'm.room.topic',
    state_key: '',
    sender: '@a:x.org',
    room_id: rules.roomIdIsCreateHash ? hashRoom : '!r:x.org',
    content: { topic: 'Tea' },
    origin_server_ts: 1_700_000_000_000,
    depth: 4,
    prev_events: [reference(rules, 1)],
    auth_events: [reference(rules, 2), reference(rules, 3)],
    hashes: { sha256: 'x' },
    signatures: { 'x.org': { 'ed25519:1': 'AAAA' } },
  };
  if (rules.eventIdFormat === 'field') event.event_id = '$e:x.org';
  return event;
}

const verdict = (event: JsonObject | string, version = '11', options = {}): string => {
  const text = typeof event === 'string' ? event : JSON.stringify(event);
  const result = checkPdu(text, rulesOf(version), options);
  const again = typeof event === 'string' ? result : checkPdu(event, rulesOf(version), options);
  if (result.ok !== again.ok) throw new Error('text and object differ');
  return result.ok ? 'ok' : `${result.error.kind}: ${result.error.message}`;
};

describe.each([...roomVersions.values()].map((rules): [string, RoomVersionRules] => [rules.version, rules]))(
  'Room version %s',
  (version, rules) => {
    test('takes its own format and resolves ids and references', () => {
      const result = checkPdu(JSON.stringify({ ...fixture(rules), unsigned: { age: 3 } }), rules);
      if (!result.ok) throw new Error(result.error.message);
      const suffix = rules.eventReferencesArePairs ? ':x.org' : '';
      expect(result.value).toMatchObject({
        roomId: rules.roomIdIsCreateHash ? hashRoom : '!r:x.org',
        type: 'm.room.topic',
        stateKey: '',
        sender: '@a:x.org',
        content: { topic: 'Tea' },
        originServerTs: 1_700_000_000_000,
        depth: 4,
        prevEvents: [`$1${suffix}`],
        authEvents: [`$2${suffix}`, `$3${suffix}`],
        redacts: undefined,
      });
      expect(result.value.eventId).toMatch(rules.eventIdFormat === 'field' ? /^\$e:x\.org$/ : /^\$[\w+/-]{43}$/);
      expect(result.value.pdu).toEqual(fixture(rules));
    });

    test.each([
      'type',
      'sender',
      'room_id',
      'content',
      'origin_server_ts',
      'depth',
      'prev_events',
      'auth_events',
      'hashes',
      'signatures',
    ])('wants %s', (key) => {
      const { [key]: _left, ...event } = fixture(rules);
      expect(verdict(event, version)).toMatch(/^bad-format/);
      expect(verdict({ ...event, [key]: null }, version)).toMatch(/^bad-format/);
    });

    test('takes odd numbers only where canonical JSON is not enforced', () => {
      for (const number of ['1.0', '1e3', '-0', '12345678901234567890']) {
        const text = JSON.stringify(fixture(rules)).replace('"Tea"', number);
        expect(verdict(text, version)).toMatch(rules.strictCanonicalJson ? /^bad-json/ : /^ok/);
      }
    });

    test('finds redacts where the version puts it', () => {
      const check = (more: JsonObject) => {
        const result = checkPdu({ ...fixture(rules), type: 'm.room.redaction', ...more }, rules);
        return result.ok ? result.value.redacts : result.error.kind;
      };
      expect(check({ redacts: '$top:x.org' })).toBe(rules.redactsInContent ? undefined : '$top:x.org');
      expect(check({ content: { redacts: '$in:x.org' } })).toBe(rules.redactsInContent ? '$in:x.org' : undefined);
      expect(check({ redacts: 5 })).toBe(rules.redactsInContent ? undefined : 'bad-format');
    });
  },
);

describe('Formats of other versions are refused', () => {
  test('ids where pairs belong, and pairs where ids belong', () => {
    expect(verdict({ ...fixture(rulesOf('2')), prev_events: ['$a:x.org'] }, '2')).toMatch(/^bad-format/);
    expect(verdict({ ...fixture(rulesOf('2')), auth_events: [['$a:x.org']] }, '2')).toMatch(/^bad-format/);
    expect(verdict({ ...fixture(rulesOf('3')), prev_events: [['$a', {}]] }, '3')).toMatch(/^bad-format/);
  });
  test('an event without id in version 1', () => {
    const { event_id: _id, ...event } = fixture(rulesOf('1'));
    expect(verdict(event, '1')).toMatch(/event_id/);
  });
  test('room ids of the other form', () => {
    expect(verdict({ ...fixture(rulesOf('11')), room_id: hashRoom }, '11')).toMatch(/room_id/);
    expect(verdict({ ...fixture(rulesOf('12')), room_id: '!r:x.org' }, '12')).toMatch(/room_id/);
  });
});

describe('Limits', () => {
  const event = fixture(rulesOf('11'));
  test('20 previous and 10 auth events, unless they are not to be counted', () => {
    const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => `$${n}`);
    expect(verdict({ ...event, prev_events: ids(20), auth_events: ids(10) })).toBe('ok');
    expect(verdict({ ...event, prev_events: ids(21) })).toMatch(/^too-large/);
    expect(verdict({ ...event, auth_events: ids(11) })).toMatch(/^too-large/);
    expect(verdict({ ...event, prev_events: ids(21), auth_events: ids(11) }, '11', { anyReferenceCount: true })).toBe(
      'ok',
    );
  });
  test('255 bytes in type, state key and sender', () => {
    expect(verdict({ ...event, type: 'ä'.repeat(127), state_key: 'x'.repeat(255) })).toBe('ok');
    expect(verdict({ ...event, type: 'ä'.repeat(128) })).toMatch(/^too-large/);
    expect(verdict({ ...event, state_key: 'x'.repeat(256) })).toMatch(/^too-large/);
    expect(verdict({ ...event, sender: `@${'x'.repeat(250)}:x.org` })).toMatch(/sender/);
  });
  test('65,536 bytes of canonical JSON, unsigned not counted', () => {
    const room = maxEventBytes - canonicalJson({ ...event, content: { b: '' } }).length;
    const largest = { ...event, content: { b: 'x'.repeat(room) } };
    expect(verdict({ ...largest, unsigned: { age: 1 } })).toBe('ok');
    expect(verdict(JSON.stringify(largest, null, 2))).toBe('ok');
    expect(verdict({ ...event, content: { b: 'x'.repeat(room + 1) } })).toMatch(/^too-large/);
    expect(verdict({ ...event, content: { b: 'ä'.repeat(room / 2 + 1) } })).toMatch(/^too-large/);
  });
  test('depth from 0 to 2^53-1, in versions 1 to 5 to 2^63-1 and clamped', () => {
    const withDepth = (depth: string, version: string): string =>
      JSON.stringify(fixture(rulesOf(version))).replace('"depth":4', `"depth":${depth}`);
    expect(verdict(withDepth('9007199254740991', '6'), '6')).toBe('ok');
    for (const depth of ['-1', '9007199254740992', '1.5', '"1"'])
      expect(verdict(withDepth(depth, '6'), '6')).not.toBe('ok');
    for (const depth of ['9223372036854775808', '-1', '1.5'])
      expect(verdict(withDepth(depth, '5'), '5')).toMatch(/depth/);
    const result = checkPdu(withDepth('9223372036854775807', '5'), rulesOf('5'));
    if (!result.ok) throw new Error(result.error.message);
    expect(result.value.depth).toBe(Number.MAX_SAFE_INTEGER);
    expect(canonicalJson(result.value.pdu, { lenient: true })).toContain('"depth":9223372036854775807');
  });
});

test('What is no JSON object is refused, with text, array or damaged text alike', () => {
  expect(verdict('{')).toMatch(/^not-json/);
  expect(verdict('[]')).toMatch(/^bad-format/);
  expect(verdict('"x"', '1')).toMatch(/^bad-format/);
  expect(verdict(`{"a":1,"a":2}`)).toMatch(/^bad-json/);
  expect(checkPdu({ ...fixture(rulesOf('11')), content: { a: 1.5 } }, rulesOf('11'))).toMatchObject({
    error: { kind: 'bad-json' },
  });
});

test('Signatures that are no object of objects of strings are refused', () => {
  const event = fixture(rulesOf('11'));
  for (const signatures of [[], { a: 'x' }, { a: { b: 1 } }])
    expect(verdict({ ...event, signatures })).toMatch(/signatures/);
  expect(verdict({ ...event, signatures: {} })).toBe('ok');
});
