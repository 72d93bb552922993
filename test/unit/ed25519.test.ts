import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { keyPairFromSeed, nodeEngine, sodiumEngine, verify, verifyBatch } from '../../src/matrix/crypto/ed25519.ts';

const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex');
const seedOf = (n: number): Uint8Array => createHash('sha256').update(`seed ${n}`).digest();
const engines = [
  ['libsodium', sodiumEngine],
  ['node:crypto', nodeEngine],
] as const;

// RFC 8032 §7.1, tests 1 to 3.
const rfc = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
  [
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  ],
] as const;

describe.each(engines)('The engine %s', (_name, engine) => {
  test.each(rfc)('knows the vector of seed %s', (seed, publicKey, message, signature) => {
    const key = engine.keyPair(bytes(seed));
    expect(Buffer.from(key.publicKey).toString('hex')).toBe(publicKey);
    expect(Buffer.from(engine.sign(bytes(message), key)).toString('hex')).toBe(signature);
    expect(engine.verify({ message: bytes(message), signature: bytes(signature), publicKey: bytes(publicKey) })).toBe(
      true,
    );
  });
  test('refuses seeds of another length and calls malformed checks false', () => {
    expect(() => engine.keyPair(new Uint8Array(31))).toThrow(RangeError);
    const { publicKey } = engine.keyPair(seedOf(0));
    const message = new Uint8Array(1);
    expect(engine.verify({ message, signature: new Uint8Array(63), publicKey })).toBe(false);
    expect(engine.verify({ message, signature: new Uint8Array(64), publicKey: new Uint8Array(33) })).toBe(false);
    expect(engine.verify({ message, signature: new Uint8Array(64), publicKey: new Uint8Array(32).fill(2) })).toBe(
      false,
    );
  });
});

test('Both engines make the same signatures and give the same verdict on every tampered bit', () => {
  for (let n = 0; n < 20; n++) {
    const key = keyPairFromSeed(seedOf(n));
    const message = seedOf(1000 + n);
    const signature = sodiumEngine.sign(message, key);
    expect(Buffer.from(nodeEngine.sign(message, key))).toEqual(Buffer.from(signature));
    for (let bit = n; bit < 512; bit += 37) {
      const broken = Uint8Array.from(signature);
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const check = { message, signature: broken, publicKey: key.publicKey };
      expect([sodiumEngine.verify(check), nodeEngine.verify(check)]).toEqual([false, false]);
    }
  }
});

test('Both engines refuse keys of small order and keys that are not canonical', async () => {
  const low = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ].flatMap((hex) => [bytes(hex), bytes(hex).map((byte, at) => (at === 31 ? byte | 0x80 : byte))]);
  // R = identity, S = 0 is the signature that such keys would accept for many messages.
  const signature = Buffer.alloc(64);
  signature[0] = 1;
  const checks = low.flatMap((publicKey) =>
    Array.from({ length: 16 }, (_, n) => ({ message: new Uint8Array([n]), signature, publicKey })),
  );
  for (const check of checks) expect([sodiumEngine.verify(check), nodeEngine.verify(check)]).toEqual([false, false]);
  expect(new Set(await verifyBatch(checks))).toEqual(new Set([false]));
});

test('A batch gives its verdicts in order and agrees with single verification', async () => {
  const checks = Array.from({ length: 40 }, (_, n) => {
    const key = keyPairFromSeed(seedOf(n % 7));
    const message = seedOf(n);
    const signature = Uint8Array.from(sodiumEngine.sign(message, key));
    if (n % 3 === 0) signature[n] = (signature[n] ?? 0) ^ 1;
    return { message, signature: n % 10 === 9 ? signature.subarray(1) : signature, publicKey: key.publicKey };
  });
  expect(await verifyBatch(checks)).toEqual(checks.map((c) => verify(c.message, c.signature, c.publicKey)));
  expect(await verifyBatch([])).toEqual([]);
});
