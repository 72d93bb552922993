import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { globMatcher, wordGlobMatcher } from '../../../src/matrix/glob.ts';
import { parsePath, valueAt } from '../../../src/matrix/property-path.ts';

describe('globs', () => {
  test.each([
    ['lunc?*', 'lunch plans', true],
    ['lunc?*', 'lunc', false],
    ['lunc?*', ' lunch', false],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['a*b*c', 'a1b2b3c', true],
    ['a*b*c', 'a1c2b', false],
    ['ab*ba', 'aba', false],
    ['?', '🦊', true],
    ['a.c', 'abc', false],
    ['*\n*', 'x\ny', true],
  ])('%j against %j is %j', (pattern, text, expected) => {
    expect(globMatcher(pattern)(text)).toBe(expected);
  });

  test('they agree with a backtracking definition', () => {
    const matches = (pattern: string, text: string): boolean => {
      if (pattern === '') return text === '';
      if (pattern.startsWith('*'))
        return matches(pattern.slice(1), text) || (text !== '' && matches(pattern, text.slice(1)));
      return text !== '' && (pattern[0] === '?' || pattern[0] === text[0]) && matches(pattern.slice(1), text.slice(1));
    };
    const word = (size: number, ...letters: string[]) =>
      fc.array(fc.constantFrom(...letters), { maxLength: size }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(word(7, 'a', 'b', '*', '?'), word(8, 'a', 'b'), (pattern, text) => {
        expect(globMatcher(pattern)(text)).toBe(matches(pattern, text));
      }),
      { numRuns: 2000 },
    );
  });

  test('in a body they match a part between word boundaries', () => {
    const example = wordGlobMatcher('ex*ple');
    expect(['an example event.', 'exple', 'an exciting triple-whammy'].map(example)).toEqual([true, true, true]);
    expect(['anexample', 'examples', 'example_1 example2'].map(example)).toEqual([false, false, false]);
    expect(wordGlobMatcher('@room')('hey@room!')).toBe(true);
    expect(wordGlobMatcher('cake')('pancake cakes cake')).toBe(true);
    expect(wordGlobMatcher('c?ke')('a cooke and a coke')).toBe(true);
  });

  test('a hostile pattern costs no more than pattern times text', () => {
    const begun = performance.now();
    expect(globMatcher(`${'*a'.repeat(200)}*b`)('a'.repeat(60_000))).toBe(false);
    expect(wordGlobMatcher(`${'?*'.repeat(200)}z`)('a'.repeat(60_000))).toBe(false);
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe('property paths', () => {
  test('dots and backslashes in names are escaped, other escapes stay', () => {
    expect(parsePath('content.m\\.relates_to.rel_type')).toEqual(['content', 'm.relates_to', 'rel_type']);
    expect(parsePath('content.m\\\\foo')).toEqual(['content', 'm\\foo']);
    expect(parsePath('a\\x.b\\')).toEqual(['a\\x', 'b\\']);
  });

  test('a value is found through objects only, and only as their own property', () => {
    expect(valueAt({ a: { 'b.c': 1 } }, ['a', 'b.c'])).toBe(1);
    expect(valueAt({ a: [1] }, ['a', '0'])).toBeUndefined();
    expect(valueAt({}, ['constructor', 'name'])).toBeUndefined();
  });
});
