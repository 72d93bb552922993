/**
 * Canonical JSON (Appendices v1.19 §Canonical JSON): the one text of a value that hashes and signatures cover. Keys are
 * sorted by Unicode codepoint, nothing is padded, numbers are integers within ±(2^53-1). Room versions 1–5 do not enforce
 * the number rules; `lenient` writes what they hold: big integers, floats, numbers kept as source text.
 */
import { type JsonValue, isRawNumber, maxJsonDepth } from './json.ts';

/** The value has no canonical form. */
export class CanonicalJsonError extends Error {
  override readonly name = 'CanonicalJsonError';
}

// Anything but what stands in JSON as it is: controls, quotes and backslashes need an escape, a surrogate may be lone.
const special = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;
// Above the surrogates, UTF-16 order and codepoint order part ways.
const unordered = /[\ud800-\uffff]/;

function stringText(text: string): string {
  if (!special.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new CanonicalJsonError('a string has a lone surrogate');
  return JSON.stringify(text);
}

/** Orders two strings by codepoint; they may hold surrogate pairs. */
export function compareCodepoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x === y) continue;
    const xPair = x >= 0xd800 && x <= 0xdfff;
    const yPair = y >= 0xd800 && y <= 0xdfff;
    return xPair === yPair ? x - y : xPair ? 1 : -1;
  }
  return a.length - b.length;
}

function sortedKeys(value: object): string[] {
  const keys = Object.keys(value);
  let sorted = true;
  let plain = true;
  let last = '';
  for (const key of keys) {
    if (key < last) sorted = false;
    if (plain && unordered.test(key)) plain = false;
    last = key;
  }
  if (!plain) return keys.sort(compareCodepoints);
  return sorted ? keys : keys.sort();
}

function numberText(value: number, lenient: boolean): string {
  if (Number.isSafeInteger(value)) return value === 0 ? '0' : String(value);
  if (!lenient) throw new CanonicalJsonError('a number is not an integer within ±(2^53-1)');
  if (!Number.isFinite(value)) throw new CanonicalJsonError('a number is not finite');
  return String(value);
}

function bigintText(value: bigint, lenient: boolean): string {
  if (!lenient && (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER))
    throw new CanonicalJsonError('an integer is outside ±(2^53-1)');
  return String(value);
}

function objectText(value: object, lenient: boolean, depth: number): string {
  if (depth > maxJsonDepth) throw new CanonicalJsonError('the value is nested too deeply');
  if (Array.isArray(value)) {
    let items = '';
    for (const item of value) items += items === '' ? text(item, lenient, depth) : `,${text(item, lenient, depth)}`;
    return `[${items}]`;
  }
  if (isRawNumber(value)) {
    if (!lenient) throw new CanonicalJsonError('a number is not an integer within ±(2^53-1)');
    return value.rawJSON;
  }
  const members = value as Record<string, unknown>;
  let result = '';
  for (const key of sortedKeys(members)) {
    const member = members[key];
    if (member === undefined) continue;
    result += `${result === '' ? '' : ','}${stringText(key)}:${text(member, lenient, depth)}`;
  }
  return `{${result}}`;
}

function text(value: unknown, lenient: boolean, depth: number): string {
  switch (typeof value) {
    case 'string':
      return stringText(value);
    case 'number':
      return numberText(value, lenient);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return value === null ? 'null' : objectText(value, lenient, depth + 1);
    case 'bigint':
      return bigintText(value, lenient);
    default:
      throw new CanonicalJsonError(`a ${typeof value} is no JSON`);
  }
}

export interface CanonicalJsonOptions {
  /** Room versions 1–5: numbers of any kind are written as they are. */
  readonly lenient?: boolean;
}

/**
 * The canonical JSON text of a value; members that are `undefined` are left out, `-0` is written `0`.
 * @throws CanonicalJsonError for lone surrogates, nesting beyond `maxJsonDepth` and, unless lenient, numbers that are no safe integers
 */
export const canonicalJson = (value: JsonValue, options?: CanonicalJsonOptions): string =>
  text(value, options?.lenient === true, 0);
