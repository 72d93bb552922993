import { describe, expect, test } from '@jest/globals';
import { indexedWords, parseSearchTerm } from '../../../src/util/words.ts';

describe('words of the index', () => {
  test('are folded, whatever their case, width and diacritics', () => {
    expect(indexedWords('Ｈello, WÖRLD—Straße naïve ÉCOLE Ёлка')).toBe('hello world straße naive ecole елка');
    expect(indexedWords('... !? "')).toBe('');
  });

  test('of scripts without blanks are pairs of neighbours', () => {
    expect(indexedWords('東京都へ')).toBe('東京 京都 都へ へ');
    expect(indexedWords('ver2 カラー ok')).toBe('ver2 カラ ラー ー ok');
    expect(indexedWords('2024年です')).toBe('2024 年で です す');
    expect(indexedWords('สวัสดี')).not.toBe('');
  });

  test('keep the signs that tell words of other scripts apart', () => {
    expect(indexedWords('한국어 हिन्दी')).toBe('한국어 हिन्दी');
  });

  test('hold pictures, and cut what is no word', () => {
    expect(indexedWords('party🎉🎉')).toBe('party 🎉 🎉');
    expect(indexedWords('x'.repeat(100))).toHaveLength(48);
  });
});

describe('search terms', () => {
  test('ask for all words, and for what begins with them', () => {
    expect(parseSearchTerm('Mars and 42')).toEqual({
      expressions: ['("mars" OR "mars"*)', '("and" OR "and"*)', '"42"'],
      highlights: ['mars', 'and', '42'],
    });
    expect(parseSearchTerm(' .. ').expressions).toEqual([]);
  });

  test('ask for words in quotes as they stand', () => {
    expect(parseSearchTerm('"red planet" life').expressions).toEqual(['"red planet"', '("life" OR "life"*)']);
    expect(parseSearchTerm('"open').expressions).toEqual(['"open"']);
  });

  test('find any part of a text without blanks', () => {
    expect(parseSearchTerm('京都').expressions).toEqual(['"京都"']);
    expect(parseSearchTerm('東京都').expressions).toEqual(['"東京 京都"']);
    expect(parseSearchTerm('都').expressions).toEqual(['"都"*']);
    expect(parseSearchTerm('iphone手机').expressions).toEqual(['("iphone" OR "iphone"*)', '"手机"']);
  });
});
