import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ObjectSplitter, SplitError } from '../../src/fedclient/object-splitter.ts';

/** Feeds text in pieces of the given sizes, again and again. */
function split(text: string, sizes: readonly number[], lists: readonly string[]): ObjectSplitter<string[]> {
  const bytes = Buffer.from(text);
  const splitter = new ObjectSplitter(lists, (): string[] => []);
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    splitter.push(bytes.subarray(at, at + size));
    at += size;
  }
  return splitter;
}

const spaced = (value: unknown, indent: number): string => JSON.stringify(value, undefined, indent);
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
const key = fc.oneof(fc.constantFrom('a', 'b', '', '"', '\\', 'state'), fc.string({ unit: 'binary' }));

describe('taking an object apart while it arrives', () => {
  test('gives the same as parsing the whole, however the pieces fall', () => {
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.jsonValue(), { noNullPrototype: true }),
        fc.array(fc.jsonValue()),
        fc.array(fc.jsonValue()),
        sizes,
        fc.integer({ min: 0, max: 2 }),
        (rest, pdus, chain, pieces, indent) => {
          const { pdus: _p, auth_chain: _c, ...others } = rest;
          const text = spaced({ ...others, pdus, auth_chain: chain }, indent);
          const splitter = split(text, pieces, ['pdus', 'auth_chain']);
          const parsed = JSON.parse(text) as Record<string, unknown[]>;
          expect(JSON.parse(splitter.end())).toEqual(JSON.parse(JSON.stringify(others)));
          for (const list of ['pdus', 'auth_chain'])
            expect(splitter.elements(list)?.map((element) => JSON.parse(element) as unknown)).toEqual(parsed[list]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('never gives more for text that is no object, and never crashes', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\ a1') }), sizes, (text, pieces) => {
        let valid = true;
        try {
          const value: unknown = JSON.parse(text);
          valid = typeof value === 'object' && value !== null && !Array.isArray(value);
        } catch {
          valid = false;
        }
        try {
          const rest = split(text, pieces, ['a']).end();
          // What is wrong inside a part shows when that part is parsed.
          if (valid) JSON.parse(rest);
        } catch (error) {
          expect(valid).toBe(false);
          expect(error).toBeInstanceOf(SplitError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('tells a missing list and one that is something else from an empty one', () => {
    const splitter = split('{"a":[],"b":{},"c":"x,y"}', [3], ['a', 'b', 'c', 'd']);
    expect(splitter.end()).toBe('{"b":{},"c":"x,y"}');
    expect(['a', 'b', 'c', 'd'].map((list) => splitter.elements(list))).toEqual([[], undefined, undefined, undefined]);
  });

  test('is bounded in elements, in the size of one, and in the rest', () => {
    const limits = { element: 100, elements: 10, rest: 100 };
    const feed = (text: string) => () => {
      const splitter = new ObjectSplitter(['a'], (): string[] => [], limits);
      for (let at = 0; at < text.length; at += 10) splitter.push(Buffer.from(text.slice(at, at + 10)));
      return splitter.end();
    };
    expect(feed(`{"a":[${'1,'.repeat(9)}1]}`)).not.toThrow();
    expect(feed(`{"a":[${'1,'.repeat(10)}1]}`)).toThrow(SplitError);
    expect(feed(`{"a":["${'x'.repeat(200)}"]}`)).toThrow(SplitError);
    expect(feed(`{"b":"${'x'.repeat(200)}"}`)).toThrow(SplitError);
    expect(feed(`{"${'x'.repeat(200)}":1}`)).toThrow(SplitError);
  });
});
