/**
 * Ed25519 (Appendices v1.19 §Signing Details): one interface, two engines. node:crypto signs, being the faster one, and
 * verifies batches in libuv's thread pool; libsodium verifies in line. Both give libsodium's verdict: it refuses
 * small-order and non-canonical public keys, which OpenSSL lets pass, and it accepts a few signatures that OpenSSL does
 * not (cofactored verification), so that what the pool refuses is asked again in line.
 */
import { type KeyObject, createPrivateKey, createPublicKey, sign as nodeSign, verify as nodeVerify } from 'node:crypto';
import sodium from 'libsodium-wrappers';
import { LruCache } from '../../util/lru.ts';

await sodium.ready;

export interface KeyPair {
  /** 32 bytes */
  readonly seed: Uint8Array;
  /** 32 bytes */
  readonly publicKey: Uint8Array;
}

export interface SignatureCheck {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly publicKey: Uint8Array;
}

export interface Ed25519Engine {
  /** The key pair of a 32-byte seed. @throws RangeError for another length */
  keyPair(seed: Uint8Array): KeyPair;
  /** 64-byte signature of a message. */
  sign(message: Uint8Array, key: KeyPair): Uint8Array;
  /** False for wrong signatures as for malformed signatures and keys; never throws. */
  verify(check: SignatureCheck): boolean;
}

const isWellSized = ({ signature, publicKey }: SignatureCheck): boolean =>
  signature.byteLength === 64 && publicKey.byteLength === 32;

function requireSeed(seed: Uint8Array): void {
  if (seed.byteLength !== 32) throw new RangeError('an ed25519 seed has 32 bytes');
}

export const sodiumEngine: Ed25519Engine = {
  keyPair(seed) {
    requireSeed(seed);
    return { seed, publicKey: sodium.crypto_sign_seed_keypair(seed).publicKey };
  },
  sign(message, { seed, publicKey }) {
    const secret = new Uint8Array(64);
    secret.set(seed);
    secret.set(publicKey, 32);
    return sodium.crypto_sign_detached(message, secret);
  },
  verify(check) {
    return isWellSized(check) && sodium.crypto_sign_verify_detached(check.signature, check.message, check.publicKey);
  },
};

const derPublic = Buffer.from('302a300506032b6570032100', 'hex');
const derPrivate = Buffer.from('302e020100300506032b657004220420', 'hex');

const publicKeyObjects = new LruCache<string, KeyObject>({ max: 2000 });
const privateKeyObjects = new WeakMap<KeyPair, KeyObject>();

function publicKeyObject(publicKey: Uint8Array): KeyObject {
  const name = Buffer.from(publicKey).toString('latin1');
  let object = publicKeyObjects.get(name);
  if (object === undefined) {
    object = createPublicKey({ key: Buffer.concat([derPublic, publicKey]), format: 'der', type: 'spki' });
    publicKeyObjects.set(name, object);
  }
  return object;
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  requireSeed(seed);
  return createPrivateKey({ key: Buffer.concat([derPrivate, seed]), format: 'der', type: 'pkcs8' });
}

// The y coordinates of the eight points of small order: 0, 1, -1 and the two of order eight (RFC 8032 §5.1 encoding).
const smallOrder = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/** Refuses keys whose y coordinate is not below 2^255-19 and those of small order. */
function isSoundPublicKey(publicKey: Uint8Array): boolean {
  const y = Buffer.from(publicKey);
  y[31] = (y[31] ?? 0) & 0x7f;
  if ((y[0] ?? 0) >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff)) return false;
  return !smallOrder.has(y.toString('hex'));
}

export const nodeEngine: Ed25519Engine = {
  keyPair(seed) {
    const spki = createPublicKey(privateKeyOf(seed)).export({ format: 'der', type: 'spki' });
    return { seed, publicKey: new Uint8Array(spki.subarray(-32)) };
  },
  sign(message, key) {
    let object = privateKeyObjects.get(key);
    if (object === undefined) {
      object = privateKeyOf(key.seed);
      privateKeyObjects.set(key, object);
    }
    return new Uint8Array(nodeSign(null, message, object));
  },
  verify(check) {
    if (!isWellSized(check) || !isSoundPublicKey(check.publicKey)) return false;
    return nodeVerify(null, check.message, publicKeyObject(check.publicKey), check.signature);
  },
};

/** The key pair of a 32-byte seed. @throws RangeError for another length */
export const keyPairFromSeed = (seed: Uint8Array): KeyPair => sodiumEngine.keyPair(seed);

/** 64-byte signature of a message. */
export const sign = (message: Uint8Array, key: KeyPair): Uint8Array => nodeEngine.sign(message, key);

/** Verifies one signature in line (about 0.1 ms); malformed signatures and keys are false. */
export const verify = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean =>
  sodiumEngine.verify({ message, signature, publicKey });

function verifyInPool(check: SignatureCheck): Promise<boolean> {
  if (!isWellSized(check) || !isSoundPublicKey(check.publicKey)) return Promise.resolve(false);
  return new Promise((resolve) => {
    nodeVerify(null, check.message, publicKeyObject(check.publicKey), check.signature, (error, valid) => {
      resolve(error === null && valid ? true : sodiumEngine.verify(check));
    });
  });
}

/** Verifies many signatures in the thread pool, off the event loop; the verdicts come in the order of the checks. */
export const verifyBatch = (checks: readonly SignatureCheck[]): Promise<boolean[]> =>
  Promise.all(checks.map(verifyInPool));
