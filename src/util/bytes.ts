/**
 * Bytes and their text forms: UTF-8 lengths and the unpadded base64 of the specification (Appendices v1.19 §Unpadded
 * Base64). Writing is always unpadded; reading takes both alphabets, with or without padding.
 */
import { timingSafeEqual } from 'node:crypto';

/** Length in bytes of a string's UTF-8 form. */
export const utf8Length = (text: string): number => Buffer.byteLength(text, 'utf8');

/** True when the UTF-8 form of `text` has at most `limit` bytes; the exact length is only counted where it matters. */
export const fitsBytes = (text: string, limit: number): boolean =>
  text.length <= limit && (text.length * 3 <= limit || utf8Length(text) <= limit);

/** UTF-8 bytes of a string. */
export const utf8Bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Unpadded base64, standard alphabet. */
export function encodeBase64(bytes: Uint8Array): string {
  const padded = bufferOf(bytes).toString('base64');
  const end = padded.indexOf('=');
  return end === -1 ? padded : padded.slice(0, end);
}

/** Unpadded base64, URL-safe alphabet. */
export const encodeBase64Url = (bytes: Uint8Array): string => bufferOf(bytes).toString('base64url');

const base64Text = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** Bytes of base64 text in either alphabet, padded or not; undefined when it is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!base64Text.test(text)) return undefined;
  const end = text.indexOf('=');
  if ((end === -1 ? text.length : end) % 4 === 1) return undefined;
  return Buffer.from(text, 'base64');
}

/** Compares in time that depends on the lengths only. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && timingSafeEqual(a, b);
