import { describe, expect, test } from '@jest/globals';
import { CanonicalJsonError, canonicalJson } from '../../src/matrix/canonical-json.ts';
import { type JsonValue, parseJson } from '../../src/matrix/json.ts';

const parsed = (text: string): JsonValue => parseJson(text) ?? null;

describe('The examples of the appendix have their canonical form', () => {
  test.each([
    ['{}', '{}'],
    ['{ "one": 1, "two": "Two" }', '{"one":1,"two":"Two"}'],
    ['{ "b": "2", "a": "1" }', '{"a":"1","b":"2"}'],
    ['{"b":"2","a":"1"}', '{"a":"1","b":"2"}'],
    [
      `{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[
        {"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}`,
      '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
    ],
    ['{"a":"日本語"}', '{"a":"日本語"}'],
    ['{"本":2,"日":1}', '{"日":1,"本":2}'],
    ['{"a":"\\u65E5"}', '{"a":"日"}'],
    ['{"a":null}', '{"a":null}'],
    ['{"a":-0,"b":1e10}', '{"a":0,"b":10000000000}'],
  ])('%s', (input, canonical) => {
    expect(canonicalJson(parsed(input))).toBe(canonical);
  });
});

describe('Keys', () => {
  test('are sorted by codepoint, not by UTF-16 unit', () => {
    expect(canonicalJson({ '\u{1f600}': 1, '\uff21': 2, z: 3 })).toBe('{"z":3,"\uff21":2,"\u{1f600}":1}');
  });
  test('that look like array indexes stay at their place in the order', () => {
    expect(canonicalJson(parsed('{"a":1,"9":2,"10":3,"-1":4}'))).toBe('{"-1":4,"10":3,"9":2,"a":1}');
  });
  test('called __proto__ are ordinary members', () => {
    const text = '{"__proto__":{"b":1},"a":{"__proto__":null}}';
    expect(canonicalJson(parsed(text))).toBe(text);
  });
  test('that are undefined are left out', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
  });
});

describe('Strings', () => {
  test('escape control characters, quotes and backslashes in the shortest way and nothing else', () => {
    expect(canonicalJson(['\b\t\n\f\r"\\/', '\u0000\u001f\u007f\u2028é'])).toBe(
      String.raw`["\b\t\n\f\r\"\\/","\u0000\u001f${'\u007f\u2028é'}"]`,
    );
  });
  test('with a lone surrogate have no canonical form, as value or as key', () => {
    expect(() => canonicalJson('\ud800')).toThrow(CanonicalJsonError);
    expect(() => canonicalJson({ '\udc00x': 1 })).toThrow(CanonicalJsonError);
    expect(() => canonicalJson('\ud800', { lenient: true })).toThrow(CanonicalJsonError);
  });
});

describe('Numbers', () => {
  test('up to the 53rd bit are integers', () => {
    expect(canonicalJson([2 ** 53 - 1, -(2 ** 53) + 1, -0])).toBe('[9007199254740991,-9007199254740991,0]');
    expect(canonicalJson(12n)).toBe('12');
  });
  test.each([[1.5], [2 ** 53], [1e300], [Number.NaN], [Number.POSITIVE_INFINITY], [2n ** 53n]])(
    '%s is refused',
    (value) => {
      expect(() => canonicalJson(value)).toThrow(CanonicalJsonError);
    },
  );
  test('of any kind are written in lenient mode, except what is no number', () => {
    expect(canonicalJson([1.5, 2 ** 53, 2n ** 63n], { lenient: true })).toBe(
      '[1.5,9007199254740992,9223372036854775808]',
    );
    expect(() => canonicalJson(Number.NaN, { lenient: true })).toThrow(CanonicalJsonError);
  });
});

test('Nesting beyond a thousand levels is refused with a typed error', () => {
  let value: JsonValue = [];
  for (let depth = 1; depth < 1000; depth++) value = [value];
  expect(canonicalJson(value)).toBe('['.repeat(1000) + ']'.repeat(1000));
  expect(() => canonicalJson([value])).toThrow(CanonicalJsonError);
});
