import { describe, expect, test } from '@jest/globals';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import { type BuildInput, EventBuildError, buildEvent, signEvent } from '../../src/matrix/event-builder.ts';
import { type EventId, type ServerName, parseServerName } from '../../src/matrix/ids.ts';
import {
  canonicalOptions,
  hasValidContentHash,
  redactEvent,
  referenceHash,
  toRoomEvent,
} from '../../src/matrix/pdu.ts';
import { redactPdu } from '../../src/matrix/redaction.ts';
import { type RoomVersionRules, roomVersions } from '../../src/matrix/room-versions.ts';
import { signedBy, verifyJson } from '../../src/matrix/signing.ts';
import {
  clientEventFields,
  clientEventText,
  pduTextFromStorage,
  splitForStorage,
  strippedStateFields,
} from '../../src/matrix/stored-event.ts';

const nameOf = (text: string): ServerName => {
  const name = parseServerName(text);
  if (name === undefined) throw new Error(text);
  return name;
};
const signer = { serverName: nameOf('x.org'), keyId: 'ed25519:1', key: keyPairFromSeed(new Uint8Array(32).fill(1)) };
const other = { serverName: nameOf('y.org'), keyId: 'ed25519:k', key: keyPairFromSeed(new Uint8Array(32).fill(2)) };

const input = (rules: RoomVersionRules, proto: Partial<BuildInput['proto']>): BuildInput => ({
  rules,
  proto: { type: 'm.room.message', sender: '@a:x.org', room_id: '!r:x.org', content: {}, ...proto },
  prevEvents: [],
  authEvents: [],
  depth: 1,
  originServerTs: 1000,
  ...signer,
});
const createOf = (rules: RoomVersionRules) =>
  buildEvent(input(rules, { type: 'm.room.create', state_key: '', content: { room_version: rules.version } }));

describe.each([...roomVersions.values()].map((rules): [string, RoomVersionRules] => [rules.version, rules]))(
  'In room version %s',
  (_version, rules) => {
    const create = createOf(rules);
    const redaction = buildEvent({
      ...input(rules, {
        type: 'm.room.redaction',
        room_id: create.roomId,
        redacts: create.eventId,
        content: { reason: 'r' },
      }),
      prevEvents: [create],
      authEvents: [create],
      depth: 2,
    });

    test('an event is hashed, signed and of the right format', () => {
      expect(hasValidContentHash(create.pdu, rules)).toBe(true);
      const signed = redactPdu(create.pdu, rules);
      expect(verifyJson(signed, 'x.org', 'ed25519:1', signer.key.publicKey, canonicalOptions(rules))).toBe(true);
      expect(create.pdu.room_id).toBe(rules.roomIdIsCreateHash ? undefined : '!r:x.org');
      expect(create.roomId).toBe(rules.roomIdIsCreateHash ? `!${create.eventId.slice(1)}` : '!r:x.org');
      expect(redaction.prevEvents).toEqual([create.eventId]);
      expect(redaction.redacts).toBe(create.eventId);
      expect('redacts' in redaction.pdu).toBe(!rules.redactsInContent);
    });

    test('versions 1 and 2 alone write an id and the hashes of what is cited', () => {
      const cited = rules.eventReferencesArePairs
        ? [create.eventId, { sha256: referenceHash(create.pdu, rules) }]
        : create.eventId;
      expect(redaction.pdu.prev_events).toEqual([cited]);
      expect(redaction.pdu.event_id).toBe(rules.eventIdFormat === 'field' ? redaction.eventId : undefined);
      const byHash = { eventId: create.eventId, referenceHash: 'abc' };
      const build = () =>
        buildEvent({ ...input(rules, { room_id: create.roomId }), prevEvents: ['$a:x.org' as EventId] });
      if (!rules.eventReferencesArePairs) expect(build().prevEvents).toEqual(['$a:x.org']);
      else expect(build).toThrow(TypeError);
      expect(buildEvent({ ...input(rules, { room_id: create.roomId }), prevEvents: [byHash] }).prevEvents).toEqual([
        create.eventId,
      ]);
    });

    test('clients find redacts at both places', () => {
      const { client } = splitForStorage(redaction, rules);
      const shown = JSON.parse(clientEventText(client, redaction.eventId, '{"age":1}', { membership: '"join"' }));
      expect(shown).toEqual({
        content: { reason: 'r', redacts: create.eventId },
        event_id: redaction.eventId,
        membership: 'join',
        origin_server_ts: 1000,
        redacts: create.eventId,
        room_id: create.roomId,
        sender: '@a:x.org',
        type: 'm.room.redaction',
        unsigned: { age: 1 },
      });
      const { unsigned: _unsigned, membership: _membership, ...fields } = shown;
      expect(clientEventFields(redaction)).toEqual(fields);
    });

    test('a redacted event keeps its id', () => {
      const redacted = redactEvent(redaction, rules);
      expect(toRoomEvent(redacted.pdu, rules).eventId).toBe(redaction.eventId);
      expect(redacted.content.reason).toBeUndefined();
    });

    test('a second server can add its signature without changing the event', () => {
      const twice = signEvent(redaction, rules, other);
      expect(signedBy(twice.pdu).map(({ signer: name }) => name)).toEqual(['x.org', 'y.org']);
      expect(toRoomEvent(twice.pdu, rules).eventId).toBe(redaction.eventId);
      const signed = redactPdu(twice.pdu, rules);
      for (const { serverName, keyId, key } of [signer, other])
        expect(verifyJson(signed, serverName, keyId, key.publicKey, canonicalOptions(rules))).toBe(true);
    });

    test('the stored texts together are the PDU for sending', () => {
      for (const event of [create, redaction]) {
        const { client, rest } = splitForStorage(event, rules);
        expect(JSON.parse(pduTextFromStorage(client, rest, rules))).toEqual(event.pdu);
        expect(JSON.parse(client).room_id).toBe(event.roomId);
      }
    });

    test('an event that is too large or no JSON is refused with a typed error', () => {
      const kindOf = (proto: Partial<BuildInput['proto']>): string => {
        try {
          buildEvent(input(rules, { room_id: create.roomId, ...proto }));
          return 'built';
        } catch (error) {
          return error instanceof EventBuildError ? error.kind : String(error);
        }
      };
      expect(kindOf({ content: { body: 'x'.repeat(64_000) } })).toBe('built');
      expect(kindOf({ content: { body: 'x'.repeat(65_536) } })).toBe('too-large');
      expect(kindOf({ type: 'x'.repeat(256) })).toBe('too-large');
      expect(kindOf({ content: { body: '\ud800' } })).toBe('bad-json');
      expect(kindOf({ content: { number: 1.5 } })).toBe(rules.strictCanonicalJson ? 'bad-json' : 'built');
      expect(kindOf({ sender: 'nobody' })).toBe('bad-format');
    });

    test('stripped state has four members, and of the create event its time', () => {
      expect(strippedStateFields(create)).toEqual({
        content: { room_version: rules.version },
        origin_server_ts: 1000,
        sender: '@a:x.org',
        state_key: '',
        type: 'm.room.create',
      });
    });
  },
);
