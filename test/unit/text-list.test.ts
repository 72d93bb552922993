import { describe, expect, test } from '@jest/globals';
import { TextList } from '../../src/fedclient/text-list.ts';

describe('a list of very many texts', () => {
  test('gives them back as they are and in their order, as often as it is asked', () => {
    const texts = Array.from(
      { length: 5000 },
      (_, index) => `{"n":${index},"text":"${'ä😀\\n\n'.repeat(index % 70)}"}`,
    );
    const list = TextList.of(texts);
    expect(list).toHaveLength(texts.length);
    expect([...list]).toEqual(texts);
    expect([...list]).toEqual(texts);
  });

  test('may be empty, hold one, or one that is larger than a block', () => {
    expect([...new TextList()]).toEqual([]);
    expect([...TextList.of([''])]).toEqual(['']);
    const long = 'x'.repeat(600_000);
    expect([...TextList.of(['a', long, 'b'])]).toEqual(['a', long, 'b']);
  });
});
