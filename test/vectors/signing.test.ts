import { describe, expect, test } from '@jest/globals';
import { decodeBase64, encodeBase64, utf8Bytes } from '../../src/util/bytes.ts';
import { keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import { contentHash, signedPduText, type Pdu } from '../../src/matrix/pdu.ts';
import { type RoomVersionRules, roomVersions } from '../../src/matrix/room-versions.ts';
import { signJson, verifyJson, signedBy } from '../../src/matrix/signing.ts';
import { redactPdu } from '../../src/matrix/redaction.ts';
import type { JsonObject } from '../../src/matrix/json.ts';

const seed = decodeBase64('YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1') ?? new Uint8Array();
const key = keyPairFromSeed(seed);
const rulesOf = (version: string): RoomVersionRules => {
  const rules = roomVersions.get(version);
  if (rules === undefined) throw new Error(version);
  return rules;
};

test.each([
  ['', ''],
  ['f', 'Zg'],
  ['fo', 'Zm8'],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg'],
  ['fooba', 'Zm9vYmE'],
  ['foobar', 'Zm9vYmFy'],
])('Unpadded base64 of %j is %j', (text, base64) => {
  expect(encodeBase64(utf8Bytes(text))).toBe(base64);
  expect(decodeBase64(base64)).toEqual(Buffer.from(text));
  expect(decodeBase64(Buffer.from(text).toString('base64'))).toEqual(Buffer.from(text));
});

test('Base64 of both alphabets is read and garbage is not', () => {
  expect(decodeBase64('-_-_')).toEqual(decodeBase64('+/+/'));
  for (const garbage of ['A', 'AAAAA', 'A*==', 'AA=A', 'AA===', 'ä']) expect(decodeBase64(garbage)).toBeUndefined();
});

describe('JSON signing', () => {
  test.each<[JsonObject, string]>([
    [{}, 'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ'],
    [{ one: 1, two: 'Two' }, 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'],
  ])('%j', (object, signature) => {
    const signed = signJson(object, 'domain', 'ed25519:1', key);
    expect(signed).toEqual({ ...object, signatures: { domain: { 'ed25519:1': signature } } });
    expect(verifyJson({ ...signed, unsigned: { age: 1 } }, 'domain', 'ed25519:1', key.publicKey)).toBe(true);
    expect(verifyJson({ ...signed, more: 1 }, 'domain', 'ed25519:1', key.publicKey)).toBe(false);
    expect(verifyJson(signed, 'domain', 'ed25519:2', key.publicKey)).toBe(false);
    expect(verifyJson(signed, 'other', 'ed25519:1', key.publicKey)).toBe(false);
  });

  test('keeps the signatures that are there and lists them all', () => {
    const once = signJson({ a: 1, unsigned: { b: 2 } }, 'one', 'ed25519:x', key);
    const twice = signJson(signJson(once, 'two', 'ed25519:y', key), 'two', 'ed25519:z', key);
    expect(twice.unsigned).toEqual({ b: 2 });
    expect(signedBy(twice).map(({ signer, keyId }) => `${signer} ${keyId}`)).toEqual([
      'one ed25519:x',
      'two ed25519:y',
      'two ed25519:z',
    ]);
    expect(signedBy(twice, 'two')).toHaveLength(2);
    expect(verifyJson(twice, 'one', 'ed25519:x', key.publicKey)).toBe(true);
  });

  test('does not take inherited names for signatures', () => {
    expect(verifyJson({ signatures: {} }, 'constructor', 'name', key.publicKey)).toBe(false);
  });
});

describe('Event signing', () => {
  const signEvent = (event: Pdu, rules: RoomVersionRules): JsonObject => {
    const hashed = { ...event, hashes: { sha256: contentHash(event, rules) } };
    const signed = signJson(redactPdu(hashed, rules), 'domain', 'ed25519:1', key);
    return { ...hashed, signatures: signed.signatures };
  };

  test('of the minimal event', () => {
    const event = {
      room_id: '!x:domain',
      sender: '@a:domain',
      origin: 'domain',
      origin_server_ts: 1_000_000,
      signatures: {},
      hashes: {},
      type: 'X',
      content: {},
      prev_events: [],
      auth_events: [],
      depth: 3,
      unsigned: { age_ts: 1_000_000 },
    };
    expect(signEvent(event, rulesOf('1'))).toEqual({
      ...event,
      hashes: { sha256: '5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos' },
      signatures: {
        domain: {
          'ed25519:1': 'KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg',
        },
      },
    });
  });

  test('of an event with content that a redaction takes away', () => {
    const event = {
      content: { body: 'Here is the message content' },
      event_id: '$0:domain',
      origin: 'domain',
      origin_server_ts: 1_000_000,
      type: 'm.room.message',
      room_id: '!r:domain',
      sender: '@u:domain',
      signatures: {},
      unsigned: { age_ts: 1_000_000 },
    };
    const rules = rulesOf('1');
    const signed = signEvent(event, rules);
    expect(signed).toEqual({
      ...event,
      hashes: { sha256: 'onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g' },
      signatures: {
        domain: {
          'ed25519:1': 'Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA',
        },
      },
    });
    expect(signedPduText(signed as Pdu, rules)).not.toContain('Here is');
  });
});
