import { describe, expect, test } from '@jest/globals';
import { boundaryOf, filenameOf, MultipartError, openFilePart } from '../../../src/fedclient/multipart.ts';

async function* inPieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, size: number) {
  const { headers, pieces } = await openFilePart(inPieces(text, size), 'gc0p4Jq0M2Yt08jU534c0p');
  const parts: Buffer[] = [];
  for await (const piece of pieces) parts.push(piece);
  return { headers: Object.fromEntries(headers), file: Buffer.concat(parts).toString('latin1') };
}

const mixed = (file: string, headers = 'Content-Type: text/plain\r\n', end = '--\r\n'): string =>
  `--gc0p4Jq0M2Yt08jU534c0p\r\nContent-Type: application/json\r\n\r\n{}\r\n` +
  `--gc0p4Jq0M2Yt08jU534c0p\r\n${headers}\r\n${file}\r\n--gc0p4Jq0M2Yt08jU534c0p${end}`;

describe('multipart answers of federation media', () => {
  test.each([1, 2, 7, 64, 10_000])('give the file, in pieces of %d bytes', async (size) => {
    const file = 'This media is plain text.\r\n--gc0p4Jq0\r\n\r\n\xff\x00 Maybe.';
    expect(await read(mixed(file), size)).toEqual({ headers: { 'content-type': 'text/plain' }, file });
  });

  test('may hold an empty file, a preamble, parts without headers, headers in UTF-8', async () => {
    expect((await read(mixed(''), 5)).file).toBe('');
    expect((await read(`preamble\r\n${mixed('x')}`, 5)).file).toBe('x');
    expect(await read(mixed('x', ''), 5)).toEqual({ headers: {}, file: 'x' });
    const bare = `--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n{}\r\n--gc0p4Jq0M2Yt08jU534c0p\r\nA: ${Buffer.from('é').toString('latin1')}\r\n\r\nx\r\n--gc0p4Jq0M2Yt08jU534c0p--`;
    expect(await read(bare, 3)).toEqual({ headers: { a: 'é' }, file: 'x' });
  });

  test.each([
    ['nothing', ''],
    ['no boundary', 'hello'],
    ['only one part', '--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n{}\r\n--gc0p4Jq0M2Yt08jU534c0p--\r\n'],
    ['a file that is cut off', mixed('x').slice(0, -20)],
    ['endless headers', `--gc0p4Jq0M2Yt08jU534c0p\r\n${'A: b\r\n'.repeat(50_000)}`],
  ])('are refused with %s', async (_, text) => {
    await expect(read(text, 1000)).rejects.toBeInstanceOf(MultipartError);
  });

  test('have a boundary, quoted or not', () => {
    expect(boundaryOf('multipart/mixed; boundary=abc')).toBe('abc');
    expect(boundaryOf('Multipart/Mixed;charset=x; boundary="a b:c"')).toBe('a b:c');
    expect(boundaryOf('multipart/form-data; boundary=abc')).toBeUndefined();
    expect(boundaryOf('multipart/mixed')).toBeUndefined();
    expect(boundaryOf(undefined)).toBeUndefined();
  });

  test('name the file in either form', () => {
    expect(filenameOf('attachment; filename="a \\"b\\".txt"')).toBe('a "b".txt');
    expect(filenameOf('inline; filename=plain.txt')).toBe('plain.txt');
    expect(filenameOf("inline; filename=x; filename*=utf-8''%C3%A9.txt")).toBe('é.txt');
    expect(filenameOf("inline; filename*=utf-8''%zz")).toBeUndefined();
    expect(filenameOf('inline')).toBeUndefined();
  });
});
