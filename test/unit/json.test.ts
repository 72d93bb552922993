import { describe, expect, test } from '@jest/globals';
import { canonicalJson } from '../../src/matrix/canonical-json.ts';
import {
  asInteger,
  isJsonObject,
  isRawNumber,
  memberOf,
  numericValue,
  parseJson,
  parseLosslessJson,
  parseStrictJson,
  rawElements,
  rawMembers,
} from '../../src/matrix/json.ts';

const fault = (text: string): string => {
  const result = parseStrictJson(text);
  return result.ok ? 'ok' : result.error;
};

describe('The strict reader', () => {
  test.each([
    '{"a":[0,-1,9007199254740991,-9007199254740991]}',
    ' [ "1.0", "-0", "1e3", "12345678901234567890" ] ',
    '"\\ud83d\\ude00"',
    '{"a\\u0022b":1,"a":{"b":":"}}',
    '7',
    '{"a":true,"b":false,"c":null}',
  ])('takes %s', (text) => expect(parseStrictJson(text)).toEqual({ ok: true, value: JSON.parse(text) }));
  test.each([
    '1.0',
    '{"a":1.5}',
    '[1e3]',
    '{"a":[1,-0]}',
    '{"a": 1E3}',
    '9007199254740992',
    '-9007199254740992',
    '[0,\n1.0]',
    '[-0.0]',
    '1e400',
  ])('refuses the number in %j', (text) => expect(fault(text)).toBe('number'));
  test.each(['{"a":1,"a":1}', '{"a":{"b":1,"\\u0062":2}}', '[{"__proto__":1,"__proto__":2}]', '{"a" :1, "a"\n:2}'])(
    'refuses the duplicate key in %j',
    (text) => expect(fault(text)).toBe('duplicate-key'),
  );
  test.each(['"\\ud800"', '{"\\udc00":1}', '["a\ud800"]', '"\\uDFFF\\uD800"'])(
    'refuses the lone surrogate in %j',
    (text) => expect(fault(text)).toBe('lone-surrogate'),
  );
  test.each(['', '{', 'nope', '[1,]', `${'['.repeat(1001)}${']'.repeat(1001)}`])('refuses %j as no JSON', (text) =>
    expect(fault(text)).toBe('not-json'),
  );
  test('is not confused by escaped quotes and brackets in strings', () => {
    const text = JSON.stringify({ 'a"': '\\', b: '\\"', c: '"}]{[:,', '\\': ['"', { '"': '":' }] });
    expect(fault(text)).toBe('ok');
  });
});

describe('The lossless reader', () => {
  test.each(['1.0', '1.50', '1e400', '9007199254740993', '-9223372036854775809', '0.10', '-0.0', '1E-7'])(
    'keeps the text of %s',
    (number) => {
      const value = parseLosslessJson(`{"a":[${number}]}`);
      expect(canonicalJson(value ?? null, { lenient: true })).toBe(`{"a":[${number}]}`);
      expect(JSON.stringify(value)).toBe(`{"a":[${number}]}`);
    },
  );
  test('makes integers of -0 and of exponents that are integers', () => {
    expect(parseLosslessJson('[-0,1e10,1.5,7]')).toEqual([0, 10_000_000_000, 1.5, 7]);
  });
  test('gives numbers that can be counted with', () => {
    const value = parseLosslessJson('[50.0,9007199254740993,1]');
    if (!Array.isArray(value)) throw new Error('unreachable');
    expect(value.map(numericValue)).toEqual([50, 9007199254740993n, 1]);
    expect(value.map(isRawNumber)).toEqual([true, true, false]);
    expect(value.map(isJsonObject)).toEqual([false, false, false]);
    expect(numericValue('1')).toBeUndefined();
  });
  test('returns nothing for what is no JSON', () => {
    expect(parseLosslessJson('[1.0')).toBeUndefined();
    expect(parseJson('{')).toBeUndefined();
  });
});

test('Members are own members only', () => {
  expect(memberOf({ a: 1 }, 'a')).toBe(1);
  expect(memberOf({}, 'constructor')).toBeUndefined();
  expect(memberOf([1], '0')).toBeUndefined();
  expect(asInteger(1)).toBe(1);
  expect(asInteger(1.5)).toBeUndefined();
});

test('Source texts of elements and members are cut out as they stand', () => {
  expect(rawElements(' [ {"a":[1,2]} , "x,]\\"", 1.0,[] ] ')).toEqual(['{"a":[1,2]}', '"x,]\\""', '1.0', '[]']);
  expect(rawElements('[]')).toEqual([]);
  expect(rawElements('[ ]')).toEqual([]);
  expect([...rawMembers('{ "a" : {"b":1.0} , "c\\"":"}",  "a":2}')]).toEqual([
    ['a', '2'],
    ['c"', '"}"'],
  ]);
  expect(rawMembers('{}').size).toBe(0);
});
