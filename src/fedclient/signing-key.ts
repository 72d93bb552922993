/**
 * The server's signing key (S-S API v1.19 §Signing events): one line in a file of the data folder,
 * `ed25519 a_<version> <unpadded base64 seed>`, the form that other homeservers use too, so that a key can move.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { keyPairFromSeed, type KeyPair } from '../matrix/crypto/ed25519.ts';
import { decodeBase64, encodeBase64 } from '../util/bytes.ts';
import { codeOf } from '../util/error-text.ts';

export interface SigningKey {
  /** `ed25519:a_<version>` */
  readonly keyId: string;
  readonly key: KeyPair;
}

const line = /^ed25519[ \t]+([A-Za-z0-9_]+)[ \t]+([A-Za-z0-9+/]{43})=?$/;

/** Reads the key file, or makes one with a new random key. @throws Error when the file holds no key */
export function loadSigningKey(path: string): SigningKey {
  const text = readOrMake(path).trim();
  const match = line.exec(text.split('\n')[0] ?? '');
  const [, version = '', encoded = ''] = match ?? [];
  const seed = decodeBase64(encoded);
  if (match === null || seed === undefined) throw new Error(`${path} holds no signing key`);
  return { keyId: `ed25519:${version}`, key: keyPairFromSeed(seed) };
}

function readOrMake(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const version = `a_${randomBytes(3).toString('hex')}`;
  const text = `ed25519 ${version} ${encodeBase64(randomBytes(32))}\n`;
  const file = openSync(path, 'wx', 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  return text;
}
