import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileBody, Reply, route } from '../../src/http/index.ts';
import { matrixError } from '../../src/matrix/errors.ts';
import { startTestServer, type TestServer } from '../support/http.ts';

const base = '/_matrix/client/v3/test';
const content = Buffer.alloc(1_000_003, 0).map((_, index) => index % 251);
let folder: string;
let server: TestServer;
const broken: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'neurite-test-'));
  await writeFile(join(folder, 'file'), content);
  await writeFile(join(folder, 'empty'), '');
  server = await startTestServer([
    route({
      method: 'POST',
      path: `${base}/hash`,
      auth: 'none',
      rate: 'none',
      handle: async ({ stream }) => {
        const hash = createHash('sha256');
        let size = 0;
        try {
          for await (const piece of stream) {
            size += piece.length;
            if (size > 2_000_000) throw matrixError.tooLarge();
            hash.update(piece);
          }
        } catch (error) {
          broken.push((error as Error).name);
          throw error;
        }
        return { size, hash: hash.digest('hex'), type: stream.contentType, length: stream.length };
      },
    }),
    route({
      method: 'GET',
      path: `${base}/:name`,
      auth: 'none',
      rate: 'none',
      handle: async ({ params }) => {
        const handle = await open(join(folder, params.name));
        const { size } = await handle.stat();
        return new Reply(200, new FileBody(handle, size, 'abc'), { 'Content-Type': 'image/png' });
      },
    }),
  ]);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

const get = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
  const response = await fetch(`${server.url}${base}/${path}`, { method, headers });
  return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
};

describe('a file as answer', () => {
  test('comes whole with its length, type and tag', async () => {
    const answer = await get('file');
    expect(answer.status).toBe(200);
    expect(answer.bytes.equals(content)).toBe(true);
    expect(answer.headers.get('content-type')).toBe('image/png');
    expect(answer.headers.get('etag')).toBe('"abc"');
    expect(answer.headers.get('accept-ranges')).toBe('bytes');
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect((await get('empty')).bytes.length).toBe(0);
  });

  test.each([
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=999999-', 999_999, 1_000_002],
    ['bytes=-5', 999_998, 1_000_002],
    ['bytes=5-99999999', 5, 1_000_002],
    ['bytes=-99999999', 0, 1_000_002],
  ])('%s comes as that part', async (range, start, end) => {
    const answer = await get('file', { Range: range });
    expect([answer.status, answer.headers.get('content-range')]).toEqual([206, `bytes ${start}-${end}/1000003`]);
    expect(answer.bytes.equals(content.subarray(start, end + 1))).toBe(true);
  });

  test.each(['bytes=1000003-', 'bytes=-0'])('%s cannot be satisfied', async (range) => {
    const answer = await get('file', { Range: range });
    expect([answer.status, answer.headers.get('content-range')]).toEqual([416, 'bytes */1000003']);
  });

  test.each(['bytes=5-2', 'bytes=-', 'lines=1-2', 'bytes=0-1,5-6', 'bytes=a-b'])('%s is not heeded', async (range) => {
    expect((await get('file', { Range: range })).status).toBe(200);
  });

  test('is not sent again to who has it', async () => {
    expect((await get('file', { 'If-None-Match': '"x", W/"abc"' })).status).toBe(304);
    expect((await get('file', { 'If-None-Match': '"x"' })).status).toBe(200);
    expect((await get('file', { 'If-Range': '"x"', Range: 'bytes=0-1' })).status).toBe(200);
    expect((await get('file', { 'If-Range': '"abc"', Range: 'bytes=0-1' })).status).toBe(206);
  });

  test('gives its headers alone to HEAD', async () => {
    const answer = await get('file', {}, 'HEAD');
    expect([answer.status, answer.headers.get('content-length'), answer.bytes.length]).toEqual([200, '1000003', 0]);
  });
});

describe('a streamed body', () => {
  test('reaches the handler whole', async () => {
    const answer = await server.client.request(`${base}/hash`, {
      method: 'POST',
      body: content,
      headers: { 'Content-Type': 'x/y' },
    });
    const hash = createHash('sha256').update(content).digest('hex');
    expect(answer.json).toEqual({ size: content.length, hash, type: 'x/y', length: content.length });
  });

  test('that is refused in the middle is answered, and the connection goes on', async () => {
    const answer = await server.client.request(`${base}/hash`, { method: 'POST', body: Buffer.alloc(3_000_000) });
    expect([answer.status, answer.json.errcode]).toEqual([413, 'M_TOO_LARGE']);
    expect((await server.client.request(`${base}/hash`, { method: 'POST', body: 'x' })).status).toBe(200);
  });

  test('that breaks off fails at the reader', async () => {
    broken.length = 0;
    const { port } = new URL(server.url);
    const outgoing = request({ port, path: `${base}/hash`, method: 'POST', headers: { 'Content-Length': '1000' } });
    outgoing.on('error', () => undefined);
    outgoing.write('some');
    await new Promise<void>((resolve) => outgoing.on('socket', (socket) => socket.on('connect', resolve)));
    await new Promise((resolve) => setImmediate(resolve));
    outgoing.destroy();
    while (broken.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(broken).toEqual(['ClientGone']);
  });
});
