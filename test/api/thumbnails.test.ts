import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { animation, measure, picture, startMediaServer, type MediaServer } from '../support/media.ts';

const path = '/_matrix/client/v1/media/thumbnail';

let server: MediaServer;
beforeAll(async () => {
  server = await startMediaServer();
});
afterAll(() => server.stop());

const thumbnail = (id: string, query: string, from: MediaServer = server) =>
  from.fetch(`${path}/${id}?${query}`, 'guest');

describe('a thumbnail', () => {
  test('covers the size that was asked for with one of the usual sizes, and is made at upload', async () => {
    const id = await server.upload(await picture(1600, 1000), { type: 'image/png' });
    await server.media.thumbnails.drain();
    const folder = join(server.folder, 'thumbnails');
    const made = await readdir(folder, { recursive: true });
    for (const name of ['32x32-crop', '96x96-crop', '320x240-scale', '640x480-scale', '800x600-scale']) {
      expect(made.some((file) => file.endsWith(name))).toBe(true);
    }
    for (const [query, width, height] of [
      ['width=32&height=32&method=crop', 32, 32],
      ['width=40&height=20&method=crop', 96, 96],
      ['width=320&height=240', 384, 240],
      ['width=320&height=240&method=scale', 384, 240],
      ['width=500&height=100&method=scale', 768, 480],
      ['width=100&height=100&method=crop', 384, 240],
      ['width=800&height=600&method=scale', 960, 600],
      ['width=2000&height=10&method=scale', 1600, 1000],
      ['width=9999&height=9999&method=crop', 1600, 1000],
    ] as const) {
      const answer = await thumbnail(id, query);
      expect([query, answer.status, answer.headers.get('content-type')]).toEqual([query, 200, 'image/png']);
      expect(answer.headers.get('content-disposition')).toBe('inline; filename="thumbnail.png"');
      expect(await measure(answer.bytes)).toMatchObject({ format: 'png', width, height });
    }
    expect((await readdir(folder, { recursive: true })).length).toBe(made.length);
  });

  test('of a small image is the image itself, never a larger one', async () => {
    const bytes = await picture(50, 20, 'jpeg');
    const id = await server.upload(bytes, { type: 'image/jpeg' });
    for (const query of ['width=320&height=240', 'width=96&height=96&method=crop']) {
      expect((await thumbnail(id, query)).bytes.equals(bytes)).toBe(true);
    }
    expect(await measure((await thumbnail(id, 'width=32&height=32&method=crop')).bytes)).toMatchObject({
      width: 20,
      height: 20,
    });
  });

  test.each([
    ['jpeg', 'image/jpeg'],
    ['webp', 'image/webp'],
    ['avif', 'image/webp'],
  ] as const)('of %s is %s, whatever the upload was called', async (format, type) => {
    const id = await server.upload(await picture(200, 200, format), { type: 'text/html' });
    for (const query of ['width=32&height=32&method=crop', 'width=999&height=999']) {
      const answer = await thumbnail(id, query);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, type]);
      expect((await measure(answer.bytes)).format).toBe(type.slice(6));
    }
  });

  test.each(['gif', 'webp'] as const)('of an animated %s moves only for who asks for it', async (format) => {
    const bytes = await animation(600, 300, 4, format);
    const id = await server.upload(bytes, { type: `image/${format}` });
    const moving = await thumbnail(id, 'width=64&height=32&animated=true');
    expect(moving.headers.get('content-type')).toBe('image/webp');
    expect((await measure(moving.bytes)).frames).toBe(4);
    expect((await thumbnail(id, 'width=700&height=700&animated=true')).bytes.equals(bytes)).toBe(true);
    for (const query of ['width=64&height=32&animated=false', 'width=64&height=32', 'width=700&height=700']) {
      expect((await measure((await thumbnail(id, query)).bytes)).frames).toBe(1);
    }
  });

  test('of a still image does not mind being asked to move', async () => {
    const id = await server.upload(await picture(300, 300, 'jpeg'));
    const answer = await thumbnail(id, 'width=32&height=32&method=crop&animated=true');
    expect(answer.headers.get('content-type')).toBe('image/jpeg');
  });

  test('has any size when the configuration says so', async () => {
    await using dynamic = await startMediaServer({ media: { dynamicThumbnails: true } });
    const id = await dynamic.upload(await picture(1000, 800));
    for (const [query, width, height] of [
      ['width=123&height=45&method=crop', 123, 45],
      ['width=200&height=100&method=scale', 200, 160],
      ['width=900&height=900&method=crop', 800, 800],
    ] as const) {
      expect(await measure((await thumbnail(id, query, dynamic)).bytes)).toMatchObject({ width, height });
    }
    for (let width = 100; width < 150; width += 1) await thumbnail(id, `width=${width}&height=7&method=crop`, dynamic);
    const files = await readdir(join(dynamic.folder, 'thumbnails'), { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile()).length).toBeLessThanOrEqual(36);
    expect(await dynamic.media.verify()).toEqual([]);
  });

  test.each([
    ['width=32', 'M_MISSING_PARAM'],
    ['width=0&height=32', 'M_INVALID_PARAM'],
    ['width=-1&height=32', 'M_INVALID_PARAM'],
    ['width=1.5&height=32', 'M_INVALID_PARAM'],
    ['width=32&height=32&method=stretch', 'M_INVALID_PARAM'],
    ['width=32&height=32&animated=perhaps', 'M_INVALID_PARAM'],
  ])('asked for by %s is refused', async (query, errcode) => {
    const answer = await server.client.get(`${path}/localhost/abc?${query}`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([400, errcode]);
  });

  test('by the older paths is frozen too', async () => {
    const id = await server.upload(await picture(100, 100));
    const answer = await server.client.get(`/_matrix/media/v3/thumbnail/${id}?width=32&height=32`);
    expect([answer.status, answer.json.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });
});

describe('what is no picture', () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>';
  const broken = async () => (await picture(300, 300)).subarray(0, 2000);
  test.each([
    ['text', async () => Buffer.from('words')],
    ['SVG', async () => Buffer.from(svg)],
    ['half an image', broken],
    ['nothing', async () => Buffer.alloc(0)],
  ])('(%s) has no thumbnail', async (_, make) => {
    const id = await server.upload(await make(), { type: 'image/png' });
    const answer = await server.client.get(`${path}/${id}?width=32&height=32`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([400, 'M_UNKNOWN']);
    expect((await server.fetch(`/_matrix/client/v1/media/download/${id}`, 'alice')).status).toBe(200);
  });

  test('is a bomb when it has too many pixels, and is not unpacked', async () => {
    const id = await server.upload(pngBomb(60_000, 60_000), { type: 'image/png' });
    const answer = await server.client.get(`${path}/${id}?width=32&height=32`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([413, 'M_TOO_LARGE']);
  });

  test('leaves the server as it was', async () => {
    await server.media.thumbnails.drain();
    expect(await server.media.verify()).toEqual([]);
    expect(await readdir(join(server.folder, 'incoming'))).toEqual([]);
  });
});

/** A PNG that says it has this many pixels and holds a few bytes. */
function pngBomb(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const body = Buffer.concat([Buffer.from(type), data]);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.alloc((Math.ceil(width / 8) + 1) * 1000));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
