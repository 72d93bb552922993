import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import { buildEvent } from '../../src/matrix/event-builder.ts';
import { parseServerName } from '../../src/matrix/ids.ts';
import {
  type JsonObject,
  type JsonValue,
  isJsonObject,
  parseLosslessJson,
  parseStrictJson,
  rawElements,
  rawMembers,
} from '../../src/matrix/json.ts';
import { checkPdu } from '../../src/matrix/pdu-check.ts';
import { type Pdu, canonicalOptions, hasValidContentHash, signedPduText, toRoomEvent } from '../../src/matrix/pdu.ts';
import { redactPdu } from '../../src/matrix/redaction.ts';
import { type RoomVersionRules, roomVersions } from '../../src/matrix/room-versions.ts';
import { signJson, verifyJson } from '../../src/matrix/signing.ts';
import {
  clientEventText,
  joinFromStorage,
  pduTextFromStorage,
  splitForStorage,
} from '../../src/matrix/stored-event.ts';

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.string({ maxLength: 8 }));
const keyText = fc.oneof(
  { weight: 4, arbitrary: text },
  fc.constantFrom('__proto__', 'constructor', '10', '9', '-1', '\u{1f600}', '\uff21', 'a"b', 'rawJSON', 'toJSON', ''),
);
const { value: json, object } = fc.letrec<{ value: JsonValue; object: JsonObject; array: JsonValue[] }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(text, fc.maxSafeInteger(), fc.boolean(), fc.constant(null)),
    tie('object'),
    tie('array'),
  ),
  array: fc.array(tie('value'), { maxLength: 4 }),
  object: fc
    .uniqueArray(fc.tuple(keyText, tie('value')), { maxLength: 6, selector: ([key]) => key })
    .map((entries) => Object.fromEntries(entries)),
}));

/** JSON text with numbers of every spelling, as old rooms hold them; no two members of an object share a name. */
const oddText = fc.letrec<{ value: string; object: string; array: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(
      '0',
      '-1',
      '1.0',
      '1.50',
      '50.57',
      '1e400',
      '-9223372036854775809',
      '9007199254740993',
      '0.10',
      '-0.0',
      '1E-7',
    ),
    text.map((value) => JSON.stringify(value)),
    tie('object'),
    tie('array'),
  ),
  array: fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
  object: fc
    .uniqueArray(fc.tuple(keyText, tie('value')), { maxLength: 5, selector: ([key]) => key })
    .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`),
})).object;

const codepoints = (key: string): number[] => [...key].map((character) => character.codePointAt(0) ?? 0);
function inOrder(a: string, b: string): boolean {
  const x = codepoints(a);
  const y = codepoints(b);
  for (let at = 0; at < x.length && at < y.length; at++) if (x[at] !== y[at]) return (x[at] ?? 0) < (y[at] ?? 0);
  return x.length < y.length;
}
function expectSorted(source: string): void {
  if (source.startsWith('{')) {
    const members = [...rawMembers(source)];
    for (let at = 1; at < members.length; at++)
      expect(inOrder(members[at - 1]?.[0] ?? '', members[at]?.[0] ?? '')).toBe(true);
    for (const [, member] of members) expectSorted(member);
  } else if (source.startsWith('[')) rawElements(source).forEach(expectSorted);
}
function shuffled(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(shuffled);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, member === undefined ? member : shuffled(member)]),
  );
}

describe('Canonical JSON', () => {
  test('means the same value, has its keys in codepoint order and is its own canonical form', () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = canonicalJson(value);
        const parsed = JSON.parse(canonical) as JsonValue;
        expect(parsed).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(parsed)).toBe(canonical);
        expectSorted(canonical);
      }),
    );
  });
  test('does not depend on the order of members', () => {
    fc.assert(fc.property(json, (value) => expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value))));
  });
  test('is what the strict reader takes, however it is spaced', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(0, 1, '\t'), (value, space) => {
        const result = parseStrictJson(JSON.stringify(value, null, space));
        expect(result.ok && canonicalJson(result.value)).toBe(canonicalJson(value));
      }),
    );
  });
  test('keeps each spelling of a number in lenient mode', () => {
    fc.assert(
      fc.property(oddText, (source) => {
        const canonical = canonicalJson(parseLosslessJson(source) ?? null, { lenient: true });
        const numbers = (of: string): string[] => of.replace(/"(?:[^"\\]|\\.)*"/g, '').match(/-?\d[\d.eE+-]*/g) ?? [];
        expect(numbers(canonical).sort()).toEqual(numbers(source).sort());
        expect(canonicalJson(parseLosslessJson(canonical) ?? null, { lenient: true })).toBe(canonical);
      }),
    );
  });
});

const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });

test('A signature verifies, and no longer when anything but unsigned changes', () => {
  fc.assert(
    fc.property(object, seed, text, (value, bytes, more) => {
      const key = keyPairFromSeed(bytes);
      const { signatures: _signatures, ...bare } = value;
      const signed = signJson(bare, 'x.org', 'ed25519:1', key);
      const verifies = (changed: JsonObject): boolean => verifyJson(changed, 'x.org', 'ed25519:1', key.publicKey);
      expect(verifies(signed)).toBe(true);
      expect(verifies({ ...signed, unsigned: { more } })).toBe(true);
      expect(verifies({ ...signed, 'not there before': more })).toBe(false);
    }),
    { numRuns: 50 },
  );
});

const serverName = parseServerName('x.org');
if (serverName === undefined) throw new Error('unreachable');
const signer = { serverName, keyId: 'ed25519:1', key: keyPairFromSeed(new Uint8Array(32).fill(3)) };
const types = [
  'create',
  'member',
  'join_rules',
  'power_levels',
  'history_visibility',
  'aliases',
  'redaction',
  'message',
];
const protectedKeys = [
  'membership',
  'creator',
  'join_rule',
  'allow',
  'users',
  'invite',
  'aliases',
  'redacts',
  'third_party_invite',
];
const eventType = fc.oneof(
  fc.constantFrom(...types.map((type) => `m.room.${type}`)),
  text.filter((type) => type !== ''),
);
const content = fc
  .tuple(object, fc.dictionary(fc.constantFrom(...protectedKeys), json))
  .map(([any, known]): JsonObject => ({ ...any, ...known }));

function build(rules: RoomVersionRules, type: string, stateKey: string | undefined, body: JsonObject) {
  const isCreate = type === 'm.room.create' && stateKey === '';
  return buildEvent({
    rules,
    proto: {
      type,
      state_key: stateKey,
      content: body,
      sender: '@a:x.org',
      room_id: rules.roomIdIsCreateHash ? (isCreate ? undefined : `!${'r'.repeat(43)}`) : '!r:x.org',
    },
    prevEvents: [],
    authEvents: [],
    depth: 1,
    originServerTs: 1,
    ...signer,
  });
}
const stateKey = fc.option(fc.oneof(fc.constant(''), text), { nil: undefined });

describe.each([...roomVersions.values()].map((rules): [string, RoomVersionRules] => [rules.version, rules]))(
  'In room version %s',
  (_version, rules) => {
    const options = canonicalOptions(rules);
    const runs = { numRuns: 40 };

    test('redaction is idempotent and keeps id, signature and reference hash', () => {
      fc.assert(
        fc.property(eventType, stateKey, content, (type, key, body) => {
          const { pdu, eventId } = build(rules, type, key, body);
          const redacted = redactPdu(pdu, rules);
          expect(redactPdu(redacted, rules)).toEqual(redacted);
          expect(signedPduText(redacted, rules)).toBe(signedPduText(pdu, rules));
          expect(toRoomEvent(redacted, rules).eventId).toBe(eventId);
          expect(verifyJson(redacted, 'x.org', 'ed25519:1', signer.key.publicKey, options)).toBe(true);
        }),
        runs,
      );
    });

    test('a built event passes the check as text and as object, and its hash is right', () => {
      fc.assert(
        fc.property(eventType, stateKey, content, (type, key, body) => {
          const event = build(rules, type, key, body);
          expect(hasValidContentHash(event.pdu, rules)).toBe(true);
          for (const input of [event.pdu, canonicalJson(event.pdu, options)]) {
            const result = checkPdu(input, rules);
            expect(result.ok && result.value.eventId).toBe(event.eventId);
            expect(result.ok && result.value.roomId).toBe(event.roomId);
          }
        }),
        runs,
      );
    });

    test('storage gives back the same canonical PDU, and clients get their members of it', () => {
      const source = rules.strictCanonicalJson ? object.map((value) => canonicalJson(value)) : oddText;
      fc.assert(
        fc.property(eventType, stateKey, source, source, (type, key, body, more) => {
          const { pdu } = build(rules, type, key, {});
          const wire = canonicalJson({ ...pdu, content: {} }, options).replace(
            '"content":{}',
            () => `"content":${body},"org.example.more":${more}`,
          );
          const checked = checkPdu(wire, rules);
          if (!checked.ok) throw new Error(checked.error.message);
          const event = checked.value;
          const { client, rest } = splitForStorage(event, rules);
          const joined = joinFromStorage(client, rest, rules);
          expect(canonicalJson(joined, options)).toBe(canonicalJson(event.pdu, options));
          expect(toRoomEvent(joined, rules).eventId).toBe(event.eventId);
          const sent = checkPdu(pduTextFromStorage(client, rest, rules), rules);
          expect(sent.ok && canonicalJson(sent.value.pdu, options)).toBe(canonicalJson(event.pdu, options));
          const shown = JSON.parse(clientEventText(client, event.eventId, '{"age":1}')) as JsonObject;
          expect(shown).toMatchObject({ event_id: event.eventId, room_id: event.roomId, sender: '@a:x.org', type });
          expect(shown.state_key).toBe(key);
          expect('hashes' in shown || 'org.example.more' in shown).toBe(false);
        }),
        runs,
      );
    });
  },
);

test('A create event of version 12 that names a room keeps that, out of the sight of clients', () => {
  const rules = roomVersions.get('12');
  if (rules === undefined) throw new Error('unreachable');
  const pdu: Pdu = { ...build(rules, 'm.room.create', '', {}).pdu, room_id: '!wrong:x.org' };
  const event = toRoomEvent(pdu, rules);
  const { client, rest } = splitForStorage(event, rules);
  expect(JSON.parse(client).room_id).toBe(`!${event.eventId.slice(1)}`);
  expect(joinFromStorage(client, rest, rules)).toEqual(pdu);
  expect(JSON.parse(pduTextFromStorage(client, rest, rules))).toEqual(pdu);
});
