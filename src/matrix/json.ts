/**
 * JSON as it comes from outside: always `unknown` until a schema or a check has looked at it.
 * Three readers: `parseJson` (plain), `parseStrictJson` (what canonical JSON demands of the raw text; room versions 6 on)
 * and `parseLosslessJson` (room versions 1–5: numbers that a double would change keep their source text).
 */
import { type Result, err, ok } from '../util/result.ts';

export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

/** A number kept as text, made by `JSON.rawJSON`: `JSON.stringify` writes it back as it came. Frozen, without prototype. */
export interface RawNumber extends JsonObject {
  readonly rawJSON: string;
}

interface RawJsonSupport {
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}
// The compiler's library does not know these yet; Node 24 has them.
const json = JSON as unknown as RawJsonSupport;

/** True for a number that kept its source text. */
export const isRawNumber = (value: unknown): value is RawNumber =>
  typeof value === 'object' && value !== null && json.isRawJSON(value);

/** The number that a value stands for (raw ones as the nearest double, big integers exactly); undefined for anything else. */
export function numericValue(value: JsonValue | undefined): number | bigint | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  if (!isRawNumber(value)) return undefined;
  return /^-?\d+$/.test(value.rawJSON) ? BigInt(value.rawJSON) : Number(value.rawJSON);
}

/** True for a JSON object: not an array, not null, not a raw number. */
export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !json.isRawJSON(value);

export const asObject = (value: unknown): JsonObject | undefined => (isJsonObject(value) ? value : undefined);
export const asString = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
export const asArray = (value: unknown): readonly unknown[] | undefined => (Array.isArray(value) ? value : undefined);
/** A safe integer, or undefined. */
export const asInteger = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
/** An own member of an object; `undefined` when the value is no object or lacks it (inherited names do not count). */
export const memberOf = (value: unknown, key: string): JsonValue | undefined =>
  isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

/** Parses JSON text; undefined when it is none. */
export function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

export type JsonFault = 'not-json' | 'number' | 'duplicate-key' | 'lone-surrogate';

// A cheap look at the whole text, strings included: only what it finds makes the exact, slower look necessary.
const oddNumber = /(?:^|[\s:,[])(?:-?(?:\d+[.eE]|\d{16})|-0)/;
const surrogateEscape = /\\u[dD][89a-fA-F]/;

/** False for text whose numbers `parseJson` and `parseLosslessJson` surely read alike. */
export const mayHoldOddNumbers = (text: string): boolean => oddNumber.test(text);

/** Numbers as canonical JSON writes them: plain integers within ±(2^53-1), no `-0`, no `1.0`, no `1e3`. */
function hasOddNumber(text: string): boolean {
  let odd = false;
  json.parse(text, (_key, value, { source }) => {
    if (typeof value === 'number' && (!Number.isSafeInteger(value) || source !== String(value))) odd = true;
    return undefined;
  });
  return odd;
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const items: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  let count = Array.isArray(value) ? 0 : items.length;
  for (const item of items) if (typeof item === 'object' && item !== null) count += countMembers(item);
  return count;
}

const quote = 0x22;
const backslash = 0x5c;

/** Index behind the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before--;
    if ((end - before) % 2 === 1) return end + 1;
  }
  return text.length;
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

function countMembersInText(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at)) {
    at = stringEnd(text, at);
    while (isSpace(text.charCodeAt(at))) at++;
    if (text.charCodeAt(at) === 0x3a) count++;
  }
  return count;
}

/** True when some string or key inside `value` holds half of a surrogate pair, which UTF-8 cannot say. */
export function hasLoneSurrogate(value: unknown): boolean {
  if (typeof value === 'string') return !value.isWellFormed();
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.some(hasLoneSurrogate);
  return Object.entries(value).some(([key, item]) => !key.isWellFormed() || hasLoneSurrogate(item));
}

/** Deepest nesting of JSON that is accepted where a value is walked; deeper text counts as no JSON. */
export const maxJsonDepth = 1000;

/** True for text that nests deeper than `maxJsonDepth`. */
export function isTooDeep(text: string): boolean {
  if (text.length < 2 * maxJsonDepth) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = stringEnd(text, at) - 1;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxJsonDepth) return true;
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return false;
}

/**
 * Parses text that must be expressible as canonical JSON (room versions 6 on): refuses floats, exponents, `-0`, integers
 * beyond ±(2^53-1), duplicate keys and lone surrogates, all of which `JSON.parse` hides.
 */
export function parseStrictJson(text: string): Result<JsonValue, JsonFault> {
  const value = isTooDeep(text) ? undefined : parseJson(text);
  if (value === undefined) return err('not-json');
  if (oddNumber.test(text) && hasOddNumber(text)) return err('number');
  if (countMembersInText(text) !== countMembers(value)) return err('duplicate-key');
  if ((!text.isWellFormed() || surrogateEscape.test(text)) && hasLoneSurrogate(value)) return err('lone-surrogate');
  return ok(value);
}

/** `-0` becomes 0, an exponent that makes a safe integer becomes that integer (Appendices §Canonical JSON, examples). */
function keepSource(value: number, source: string): number | RawNumber {
  if (source === String(value)) return value;
  if (source === '-0') return 0;
  return /[eE]/.test(source) && Number.isSafeInteger(value) ? value : json.rawJSON(source);
}

/** Parses text of room versions 1–5: a number whose text a double would change becomes a `RawNumber`; undefined when it is no JSON. */
export function parseLosslessJson(text: string): JsonValue | undefined {
  if (isTooDeep(text)) return undefined;
  if (!oddNumber.test(text)) return parseJson(text);
  try {
    return json.parse(text, (_key, value, { source }) =>
      typeof value === 'number' && source !== undefined ? keepSource(value, source) : value,
    ) as JsonValue;
  } catch {
    return undefined;
  }
}

/** Source texts of the items of a JSON array or of the member values of a JSON object, in order. */
function itemRanges(text: string, found: (from: number, to: number) => void): void {
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = stringEnd(text, at) - 1;
    else if (code === 0x5b || code === 0x7b) {
      if (++depth === 1) from = at + 1;
    } else if (code === 0x5d || code === 0x7d) {
      if (--depth === 0 && text.slice(from, at).trim() !== '') found(from, at);
    } else if (code === 0x2c && depth === 1) {
      found(from, at);
      from = at + 1;
    }
  }
}

/** Source text of each element of a JSON array. The text must already have passed `JSON.parse`. */
export function rawElements(text: string): string[] {
  const elements: string[] = [];
  itemRanges(text, (from, to) => elements.push(text.slice(from, to).trim()));
  return elements;
}

/** Source text of each member of a JSON object (the last of duplicates). The text must already have passed `JSON.parse`. */
export function rawMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  itemRanges(text, (from, to) => {
    const start = text.indexOf('"', from);
    const end = stringEnd(text, start);
    members.set(String(JSON.parse(text.slice(start, end))), text.slice(text.indexOf(':', end) + 1, to).trim());
  });
  return members;
}
