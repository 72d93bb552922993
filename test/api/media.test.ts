import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeClock } from '../support/fake-clock.ts';
import { startMediaServer, type MediaServer } from '../support/media.ts';

const download = '/_matrix/client/v1/media/download';
const oldDownload = '/_matrix/media/v3/download';
const create = '/_matrix/media/v1/create';
const text = Buffer.from('some words');

let server: MediaServer;
beforeAll(async () => {
  server = await startMediaServer({ media: { maxUploadSize: 1_000_000 } });
});
afterAll(() => server.stop());

const filesIn = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
};

describe('an upload', () => {
  test('comes back byte for byte with its type, and with headers that let nothing in it run', async () => {
    const id = await server.upload(text, { type: 'text/plain; charset=utf-8' });
    expect(id).toMatch(/^localhost\/[A-Za-z0-9_-]{24}$/);
    const file = await server.fetch(`${download}/${id}`, 'bob');
    expect([file.status, file.bytes.toString()]).toEqual([200, 'some words']);
    expect(Object.fromEntries(file.headers)).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': 'inline',
      'content-length': '10',
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': '*',
    });
    expect(file.headers.get('content-security-policy')).toContain("sandbox; default-src 'none'; script-src 'none'");
  });

  test('without a type is an octet stream, served as attachment', async () => {
    const id = await server.upload(text);
    const { headers } = await server.fetch(`${download}/${id}`, 'alice');
    expect([headers.get('content-type'), headers.get('content-disposition')]).toEqual([
      'application/octet-stream',
      'attachment',
    ]);
  });

  test.each([
    ['ascii', 'inline; filename="ascii"'],
    ['name with spaces', 'inline; filename="name with spaces"'],
    ['name;with;semicolons', 'inline; filename="name;with;semicolons"'],
    ['quo"te\\d', String.raw`inline; filename="quo\"te\\d"`],
    ['☕ (1).png', "inline; filename*=utf-8''%E2%98%95%20%281%29.png"],
    ['a\r\nX-Evil: b', 'inline; filename="aX-Evil: b"'],
  ])('keeps the file name %j', async (filename, header) => {
    const id = await server.upload(text, { type: 'image/png', filename });
    expect((await server.fetch(`${download}/${id}`, 'alice')).headers.get('content-disposition')).toBe(header);
  });

  test('is served under the name in the path', async () => {
    const id = await server.upload(text, { type: 'text/html', filename: 'a.html' });
    const { headers } = await server.fetch(`${download}/${id}/b%2Fc.html`, 'alice');
    expect(headers.get('content-disposition')).toBe('attachment; filename="b/c.html"');
    expect(headers.get('content-type')).toBe('text/html');
  });

  test.each(['Text/Plain; charset=utf-8', 'image/png', 'audio/ogg'])('of type %s is shown inline', async (type) => {
    const id = await server.upload(text, { type });
    expect((await server.fetch(`${download}/${id}`, 'alice')).headers.get('content-disposition')).toBe('inline');
  });

  test.each(['image/svg+xml', 'text/html', 'application/pdf', 'nonsense'])(
    'of type %s is an attachment',
    async (type) => {
      const id = await server.upload(text, { type });
      expect((await server.fetch(`${download}/${id}`, 'alice')).headers.get('content-disposition')).toBe('attachment');
    },
  );

  test('in parts is served to who asks for a part', async () => {
    const id = await server.upload(text);
    const part = await server.fetch(`${download}/${id}`, 'alice', { Range: 'bytes=5-' });
    expect([part.status, part.bytes.toString(), part.headers.get('content-range')]).toEqual([
      206,
      'words',
      'bytes 5-9/10',
    ]);
    const again = await server.fetch(`${download}/${id}`, 'alice', { 'If-None-Match': part.headers.get('etag') ?? '' });
    expect(again.status).toBe(304);
  });

  test('larger than the limit is refused, announced or not, and leaves nothing', async () => {
    const before = await filesIn(server.folder);
    const body = Buffer.alloc(1_000_001);
    const announced = await server.client.request('/_matrix/media/v3/upload', { method: 'POST', token: 'alice', body });
    expect([announced.status, announced.json.errcode]).toEqual([413, 'M_TOO_LARGE']);
    const silent = await fetch(`${server.client.url}/_matrix/media/v3/upload`, {
      method: 'POST',
      headers: { Authorization: 'Bearer alice' },
      body: new Blob([body]).stream(),
      duplex: 'half',
    });
    expect(silent.status).toBe(413);
    expect(await filesIn(server.folder)).toEqual(before);
  });

  test('of the same content is kept once', async () => {
    const bytes = Buffer.from('twice the same');
    const before = (await filesIn(join(server.folder, 'content'))).length;
    const first = await server.upload(bytes);
    const second = await server.upload(bytes, { token: 'bob' });
    expect(first).not.toBe(second);
    expect((await filesIn(join(server.folder, 'content'))).length).toBe(before + 1);
    expect(await filesIn(join(server.folder, 'incoming'))).toEqual([]);
  });

  test('needs an account that is neither guest nor suspended', async () => {
    const post = (token?: string) =>
      server.client.request('/_matrix/media/v3/upload', { method: 'POST', token, body: text });
    expect((await post()).json.errcode).toBe('M_MISSING_TOKEN');
    expect((await post('guest')).json.errcode).toBe('M_GUEST_ACCESS_FORBIDDEN');
    expect((await post('quiet')).json.errcode).toBe('M_USER_SUSPENDED');
  });

  test('of nothing is a file of no bytes', async () => {
    const id = await server.upload(Buffer.alloc(0), { type: 'text/plain' });
    const file = await server.fetch(`${download}/${id}`, 'alice');
    expect([file.status, file.bytes.length]).toEqual([200, 0]);
  });
});

describe('a download', () => {
  test('is open to guests and closed without a token', async () => {
    const id = await server.upload(text);
    expect((await server.fetch(`${download}/${id}`, 'guest')).status).toBe(200);
    expect((await server.fetch(`${download}/${id}`)).status).toBe(401);
  });

  test.each([
    ['an unknown id', 'localhost/nothing'],
    ['an id that leads out of the folder', 'localhost/..%2F..%2Fsigning.key'],
    ['a server name that is none', 'local%2Fhost/abc'],
    ['a file of another server', 'example.org/abc'],
  ])('of %s is 404', async (_, id) => {
    const answer = await server.client.get(`${download}/${id}`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });

  test.each([
    ['timeout_ms=x', 'M_INVALID_PARAM'],
    ['timeout_ms=-1', 'M_INVALID_PARAM'],
  ])('with %s is refused', async (query, errcode) => {
    const answer = await server.client.get(`${download}/localhost/abc?${query}`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([400, errcode]);
  });

  test('by the older paths finds nothing that came during the freeze', async () => {
    const id = await server.upload(text);
    for (const version of ['v3', 'r0', 'v1']) {
      const answer = await server.client.get(`/_matrix/media/${version}/download/${id}`);
      expect([answer.status, answer.json.errcode]).toEqual([404, 'M_NOT_FOUND']);
    }
  });

  test('by the older paths finds everything when nothing is frozen', async () => {
    await using thawed = await startMediaServer({ media: { freezeUnauthenticated: false } });
    const id = await thawed.upload(text, { type: 'text/plain', filename: 'a' });
    for (const version of ['v3', 'r0', 'v1']) {
      const file = await thawed.fetch(`/_matrix/media/${version}/download/${id}/b`);
      expect([file.status, file.headers.get('content-disposition')]).toEqual([200, 'inline; filename="b"']);
    }
  });
});

describe('the configuration', () => {
  test.each(['/_matrix/client/v1/media/config', '/_matrix/media/v3/config', '/_matrix/media/r0/config'])(
    'at %s names the largest upload',
    async (path) => {
      expect((await server.client.get(path, 'alice')).json).toEqual({ 'm.upload.size': 1_000_000 });
      expect((await server.client.get(path)).status).toBe(401);
    },
  );
});

describe('an asynchronous upload', () => {
  const put = (at: MediaServer, uri: string, token: string, body: Uint8Array = text) =>
    at.client.request(`/_matrix/media/v3/upload/${uri.replace('mxc://', '')}`, {
      method: 'PUT',
      token,
      body,
      headers: { 'Content-Type': 'text/plain' },
    });

  test('makes an id first and brings its content later, once', async () => {
    const made = (await server.client.post(create, {}, 'alice')).json;
    expect(made.unused_expires_at - Date.now()).toBeGreaterThan(86_000_000);
    expect((await put(server, made.content_uri, 'bob')).json.errcode).toBe('M_FORBIDDEN');
    expect(await put(server, made.content_uri, 'alice')).toMatchObject({ status: 200, json: {} });
    const again = await put(server, made.content_uri, 'alice');
    expect([again.status, again.json.errcode]).toEqual([409, 'M_CANNOT_OVERWRITE_MEDIA']);
    const file = await server.fetch(`${download}/${made.content_uri.slice(6)}`, 'bob');
    expect([file.status, file.bytes.toString(), file.headers.get('content-type')]).toEqual([
      200,
      'some words',
      'text/plain',
    ]);
  });

  test('to an id that was not made this way is 404, or 409 when it has content', async () => {
    expect((await put(server, 'localhost/abc', 'alice')).json.errcode).toBe('M_NOT_FOUND');
    expect((await put(server, 'example.org/abc', 'alice')).json.errcode).toBe('M_NOT_FOUND');
    expect((await put(server, await server.upload(text), 'alice')).json.errcode).toBe('M_CANNOT_OVERWRITE_MEDIA');
  });

  test('lets downloads wait for it', async () => {
    const { content_uri: uri } = (await server.client.post(create, {}, 'alice')).json;
    const waiting = server.fetch(`${download}/${uri.slice(6)}`, 'bob');
    expect((await put(server, uri, 'alice')).status).toBe(200);
    expect((await waiting).bytes.toString()).toBe('some words');
  });

  test('that does not come in time is M_NOT_YET_UPLOADED, then gone', async () => {
    const clock = new FakeClock();
    await using slow = await startMediaServer({ clock, media: { freezeUnauthenticated: false } });
    const { content_uri: uri, unused_expires_at: expires } = (await slow.client.post(create, {}, 'alice')).json;
    expect(expires).toBe(clock.now() + 86_400_000);
    const waiting = slow.client.get(`${download}/${uri.slice(6)}?timeout_ms=5000`, 'bob');
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5000);
    const answer = await waiting;
    expect([answer.status, answer.json.errcode]).toEqual([504, 'M_NOT_YET_UPLOADED']);
    const now = await slow.client.get(`${oldDownload}/${uri.slice(6)}?timeout_ms=0`);
    expect([now.status, now.json.errcode]).toEqual([504, 'M_NOT_YET_UPLOADED']);
    clock.advance(86_400_000);
    expect((await slow.client.get(`${download}/${uri.slice(6)}`, 'bob')).json.errcode).toBe('M_NOT_FOUND');
    expect((await put(slow, uri, 'alice')).json.errcode).toBe('M_NOT_FOUND');
    await slow.media.retention.round();
    expect((await slow.client.get(`${download}/${uri.slice(6)}`, 'bob')).json.errcode).toBe('M_NOT_FOUND');
  });

  test('is refused when too many ids wait', async () => {
    await using narrow = await startMediaServer({ media: { maxPending: 2 } });
    const made = [await narrow.client.post(create, {}, 'alice'), await narrow.client.post(create, {}, 'alice')];
    const third = await narrow.client.post(create, {}, 'alice');
    expect([third.status, third.json.errcode]).toEqual([429, 'M_LIMIT_EXCEEDED']);
    expect((await narrow.client.post(create, {}, 'bob')).status).toBe(200);
    await put(narrow, made[0]?.json.content_uri, 'alice');
    expect((await narrow.client.post(create, {}, 'alice')).status).toBe(200);
  });

  test('by two at once succeeds for one of them', async () => {
    const { content_uri: uri } = (await server.client.post(create, {}, 'alice')).json;
    const answers = await Promise.all([1, 2, 3].map((n) => put(server, uri, 'alice', Buffer.from(`content ${n}`))));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    expect(await server.media.verify()).toEqual([]);
  });
});

describe('a quota', () => {
  test('counts bytes and files of one user, and what is deleted no more', async () => {
    await using narrow = await startMediaServer({ media: { userQuotaSize: 100, userQuotaFiles: 3 } });
    const first = await narrow.upload(Buffer.alloc(60, 1));
    await expect(narrow.upload(Buffer.alloc(60, 2))).rejects.toThrow('M_FORBIDDEN');
    await narrow.upload(Buffer.alloc(60, 2), { token: 'bob' });
    await narrow.upload(Buffer.alloc(20, 3));
    await narrow.upload(Buffer.alloc(20, 4));
    await expect(narrow.upload(Buffer.alloc(0))).rejects.toThrow('M_FORBIDDEN');
    expect((await narrow.client.post(create, {}, 'alice')).json.errcode).toBe('M_FORBIDDEN');
    const [origin = '', mediaId = ''] = first.split('/');
    await narrow.media.moderation.delete([{ origin: origin as never, mediaId }]);
    await narrow.upload(Buffer.alloc(60, 5));
  });

  test('is not passed by uploads side by side', async () => {
    await using narrow = await startMediaServer({ media: { userQuotaSize: 100 } });
    const uploads = [1, 2, 3, 4].map((n) => narrow.upload(Buffer.alloc(40, n)));
    const settled = await Promise.allSettled(uploads);
    expect(settled.filter(({ status }) => status === 'fulfilled').length).toBe(2);
    expect(await narrow.media.verify()).toEqual([]);
  });
});
