/** Random names and tokens. Tokens are stored as their SHA-256 only: who reads the database cannot log in with it. */
import { createHash, randomBytes, randomInt } from 'node:crypto';

/** A bearer token with 192 bits of randomness and a prefix that secret scanners can tell it by. */
export const newToken = (prefix: 'nat' | 'nrt' | 'nlt' | 'not'): string =>
  `${prefix}_${randomBytes(24).toString('base64url')}`;

/** What is stored of a token. */
export const tokenHash = (token: string): Uint8Array => createHash('sha256').update(token).digest();

const pick = (alphabet: string, length: number): string =>
  Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('');

/** A device id: ten capital letters. */
export const newDeviceId = (): string => pick('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 10);

/** A localpart for who asked for none. */
export const newLocalpart = (): string => pick('abcdefghijkmnpqrstuvwxyz23456789', 12);

/** An opaque id (sessions, registration tokens, nonces). */
export const newOpaqueId = (): string => pick('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 24);
