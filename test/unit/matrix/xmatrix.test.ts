import { describe, expect, test } from '@jest/globals';
import { keyPairFromSeed, verify } from '../../../src/matrix/crypto/ed25519.ts';
import type { ServerName } from '../../../src/matrix/ids.ts';
import {
  formatXMatrix,
  parseXMatrix,
  requestCheck,
  requestContent,
  signedRequestText,
  signRequest,
} from '../../../src/matrix/xmatrix.ts';

const origin = 'origin.hs.example.com' as ServerName;
const full = { origin, destination: 'destination.hs.example.com', key: 'ed25519:key1', sig: 'ABCDEF' };

describe('reading X-Matrix headers', () => {
  test.each([
    [
      'the form of the specification',
      'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",key="ed25519:key1",sig="ABCDEF"',
    ],
    [
      'no quotes, colons and all',
      'X-Matrix origin=origin.hs.example.com,destination=destination.hs.example.com,key=ed25519:key1,sig=ABCDEF',
    ],
    [
      'any order',
      'X-Matrix sig="ABCDEF",key="ed25519:key1",destination="destination.hs.example.com",origin=origin.hs.example.com',
    ],
    [
      'any case of names and scheme',
      'x-mAtRiX ORIGIN="origin.hs.example.com",Destination="destination.hs.example.com",kEy="ed25519:key1",SIG="ABCDEF"',
    ],
    [
      'spaces and tabs around commas',
      'X-Matrix   origin="origin.hs.example.com" ,\tdestination="destination.hs.example.com", key="ed25519:key1" , sig="ABCDEF"  ',
    ],
    [
      'escaped characters',
      'X-Matrix origin="origin.hs\\.example.com",destination="destination.hs.example.com",key="ed25519:\\key1",sig="ABCDEF"',
    ],
    [
      'unknown parameters',
      'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",key="ed25519:key1",sig="ABCDEF",more="1,2"',
    ],
    [
      'empty list elements',
      'X-Matrix ,origin="origin.hs.example.com",,destination="destination.hs.example.com",key="ed25519:key1",sig="ABCDEF",',
    ],
  ])('accepts %s', (_, header) => {
    expect(parseXMatrix(header)).toEqual(full);
  });

  test('accepts a missing destination', () => {
    const parsed = parseXMatrix('X-Matrix origin="a.example",key="ed25519:1",sig="x"');
    expect(parsed).toEqual({ origin: 'a.example', destination: undefined, key: 'ed25519:1', sig: 'x' });
  });

  test.each([
    '',
    'Bearer abc',
    'X-Matrix',
    'X-Matrixorigin="a",key="ed25519:1",sig="x"',
    'X-Matrix origin="a",key="ed25519:1"',
    'X-Matrix origin="a b",key="ed25519:1",sig="x"',
    'X-Matrix origin="a",key="rsa:1",sig="x"',
    'X-Matrix origin="a,key="ed25519:1",sig="x"',
    'X-Matrix origin="a" key="ed25519:1",sig="x"',
    `X-Matrix origin="a",key="ed25519:1",sig="${'x'.repeat(5000)}"`,
  ])('refuses %j', (header) => {
    expect(parseXMatrix(header)).toBeUndefined();
  });

  test('reads back what it writes', () => {
    expect(parseXMatrix(formatXMatrix(full))).toEqual(full);
  });
});

describe('signing requests', () => {
  const key = keyPairFromSeed(new Uint8Array(32).fill(7));

  test('covers the canonical object of the specification', () => {
    const content = requestContent({ b: 1, a: '/' });
    const text = signedRequestText({ method: 'PUT', uri: '/x?y=z', origin, destination: 'd', content });
    expect(text).toBe(
      `{"content":{"a":"/","b":1},"destination":"d","method":"PUT","origin":"${origin}","uri":"/x?y=z"}`,
    );
    const bare = signedRequestText({ method: 'GET', uri: '/x', origin, destination: undefined, content: undefined });
    expect(bare).toBe(`{"method":"GET","origin":"${origin}","uri":"/x"}`);
  });

  test('makes a header whose signature verifies over the same request only', () => {
    const request = { method: 'PUT', uri: '/_matrix/federation/v1/send/1', content: '{"pdus":[]}' };
    const claim = parseXMatrix(signRequest({ ...request, origin, destination: 'd.example' }, 'ed25519:k', key));
    if (claim === undefined) throw new Error('unreadable');
    const holds = (changed: Partial<typeof request>): boolean => {
      const check = requestCheck(claim, { ...request, ...changed }, key.publicKey);
      return check !== undefined && verify(check.message, check.signature, check.publicKey);
    };
    expect(holds({})).toBe(true);
    expect(holds({ uri: '/_matrix/federation/v1/send/2' })).toBe(false);
    expect(holds({ method: 'POST' })).toBe(false);
    expect(holds({ content: '{"pdus":[1]}' })).toBe(false);
  });
});
