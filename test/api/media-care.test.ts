import { describe, expect, test } from '@jest/globals';
import { mkdir, readdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UserId } from '../../src/matrix/ids.ts';
import { findMxcs, parseMxc, type FetchRemote, type MediaId } from '../../src/mediaapi/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { picture, startMediaServer, type MediaServer } from '../support/media.ts';

const download = '/_matrix/client/v1/media/download';
const thumbnail = '/_matrix/client/v1/media/thumbnail';
const alice = '@alice:localhost' as UserId;
const admin = '@admin:localhost' as UserId;
const day = 86_400_000;

const idOf = (path: string): MediaId => {
  const id = parseMxc(`mxc://${path}`);
  if (id === undefined) throw new Error(path);
  return id;
};
const statusOf = async (server: MediaServer, path: string): Promise<number> =>
  (await server.fetch(`${download}/${path}`, 'alice')).status;
const filesIn = async (server: MediaServer, folder: string): Promise<string[]> => {
  const entries = await readdir(join(server.folder, folder), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
};

describe('a quarantine', () => {
  test('hides a file, its thumbnails and the same content under every other id, now and later', async () => {
    await using server = await startMediaServer();
    const bytes = await picture(200, 200);
    const first = await server.upload(bytes);
    const second = await server.upload(bytes, { token: 'bob' });
    const other = await server.upload(Buffer.from('other'));
    const { moderation } = server.media;
    expect(await moderation.quarantine([idOf(first), idOf('localhost/unknown')], admin)).toBe(1);
    const third = await server.upload(bytes);
    for (const path of [first, second, third]) {
      expect(await statusOf(server, path)).toBe(404);
      expect((await server.fetch(`${thumbnail}/${path}?width=32&height=32`, 'alice')).status).toBe(404);
    }
    expect(await statusOf(server, other)).toBe(200);
    expect(moderation.describe(idOf(first))?.quarantined_by).toBe(admin);
    expect(await moderation.unquarantine([idOf(first)])).toBe(1);
    expect(await statusOf(server, second)).toBe(200);
  });

  test('of a user hides all uploads but protected ones', async () => {
    await using server = await startMediaServer();
    const first = await server.upload(Buffer.from('1'));
    const second = await server.upload(Buffer.from('2'));
    const bobs = await server.upload(Buffer.from('3'), { token: 'bob' });
    expect(await server.media.moderation.protect(idOf(second), true)).toBe(true);
    expect(await server.media.moderation.quarantineUser(alice, admin)).toBe(1);
    expect([await statusOf(server, first), await statusOf(server, second), await statusOf(server, bobs)]).toEqual([
      404, 200, 200,
    ]);
  });

  test('of a remote file that was never fetched keeps it from being fetched', async () => {
    let fetched = 0;
    const fetchRemote: FetchRemote = async () => {
      fetched += 1;
      return { kind: 'not-found' };
    };
    await using server = await startMediaServer({ fetchRemote });
    await server.media.moderation.quarantine([idOf('example.org/abc')], admin);
    expect([await statusOf(server, 'example.org/abc'), fetched]).toEqual([404, 0]);
    await server.media.moderation.unquarantine([idOf('example.org/abc')]);
    expect([await statusOf(server, 'example.org/abc'), fetched]).toEqual([404, 1]);
  });
});

describe('a deletion', () => {
  test('takes the file when no other id names it', async () => {
    await using server = await startMediaServer();
    const bytes = await picture(200, 200);
    const first = await server.upload(bytes);
    const second = await server.upload(bytes);
    await server.media.thumbnails.drain();
    expect(await server.media.moderation.delete([idOf(first), idOf(first)])).toBe(1);
    expect([await statusOf(server, first), await statusOf(server, second)]).toEqual([404, 200]);
    expect(await server.media.moderation.delete([idOf(second)])).toBe(1);
    expect([await filesIn(server, 'content'), await filesIn(server, 'thumbnails')]).toEqual([[], []]);
    expect(await server.media.verify()).toEqual([]);
    const again = await server.upload(bytes);
    expect(await statusOf(server, again)).toBe(200);
  });

  test('of a user takes everything that he uploaded, ids without content too', async () => {
    await using server = await startMediaServer();
    for (let n = 0; n < 5; n += 1) await server.upload(Buffer.from(`file ${n}`));
    await server.client.post('/_matrix/media/v1/create', {}, 'alice');
    const bobs = await server.upload(Buffer.from('file 1'), { token: 'bob' });
    const { moderation } = server.media;
    expect(moderation.ofUser(alice, { from: 0, limit: 2 })).toMatchObject({ total: 6, items: [{}, {}] });
    expect(moderation.usage({ from: 0, limit: 10 }).usages).toEqual([
      { owner: alice, files: 5, bytes: 30 },
      { owner: '@bob:localhost', files: 1, bytes: 6 },
    ]);
    expect((await moderation.deleteUser(alice)).length).toBe(6);
    expect(moderation.ofUser(alice, { from: 0, limit: 2 }).total).toBe(0);
    expect(await statusOf(server, bobs)).toBe(200);
    expect(await server.media.verify()).toEqual([]);
  });

  test('of old large uploads spares what is in use, small, protected or to be kept', async () => {
    const clock = new FakeClock();
    await using server = await startMediaServer({ clock });
    const [old = '', kept = '', used = '', small = '', safe = ''] = await Promise.all(
      ['old large', 'kept large', 'used large', 'small', 'safe large'].map((text) => server.upload(Buffer.from(text))),
    );
    await server.media.moderation.protect(idOf(safe), true);
    clock.advance(10 * day);
    await statusOf(server, used);
    await server.media.tasks.find(({ name }) => name === 'media access times')?.run(new AbortController().signal);
    const keep = ({ mediaId }: MediaId): boolean => kept.endsWith(mediaId);
    const deleted = await server.media.moderation.deleteUploads(clock.now() - 5 * day, 6, keep);
    expect(deleted).toEqual([idOf(old)]);
    for (const path of [kept, used, small, safe]) expect(await statusOf(server, path)).toBe(200);
  });
});

describe('files of other servers', () => {
  const words = (text: string): AsyncIterable<Uint8Array> =>
    (async function* () {
      for (const word of text.split(' ')) yield Buffer.from(word);
    })();

  test('are fetched once for all who ask at once, and kept', async () => {
    let fetched = 0;
    const fetchRemote: FetchRemote = async ({ origin, mediaId }) => {
      fetched += 1;
      return {
        kind: 'content',
        contentType: 'text/plain',
        filename: `${mediaId}.txt`,
        pieces: words(`from ${origin}`),
      };
    };
    await using server = await startMediaServer({ fetchRemote });
    const get = () => server.fetch(`${download}/example.org/abc`, 'alice');
    for (const file of [...(await Promise.all([get(), get(), get()])), await get()]) {
      expect([file.bytes.toString(), file.headers.get('content-disposition')]).toEqual([
        'fromexample.org',
        'inline; filename="abc.txt"',
      ]);
    }
    expect(fetched).toBe(1);
    expect((await server.client.get('/_matrix/media/v3/download/example.org/abc')).status).toBe(404);
    expect(await server.media.moderation.deleteCopies(Date.now() + 1)).toBe(1);
    expect((await get()).status).toBe(200);
    expect(fetched).toBe(2);
  });

  test('are not fetched by the older paths while these are frozen, nor when the request says so', async () => {
    let fetched = 0;
    const fetchRemote: FetchRemote = async () => {
      fetched += 1;
      return { kind: 'content', contentType: undefined, filename: undefined, pieces: words('x') };
    };
    await using frozen = await startMediaServer({ fetchRemote });
    expect((await frozen.client.get('/_matrix/media/v3/download/example.org/abc')).status).toBe(404);
    await using open = await startMediaServer({ fetchRemote, media: { freezeUnauthenticated: false } });
    const path = '/_matrix/media/v3/download/example.org/abc';
    expect((await open.client.get(`${path}?allow_remote=false`)).status).toBe(404);
    expect(fetched).toBe(0);
    expect((await open.client.get(path)).status).toBe(200);
  });

  test.each([
    ['not-found', 404, 'M_NOT_FOUND'],
    ['not-yet-uploaded', 504, 'M_NOT_YET_UPLOADED'],
    ['too-large', 502, 'M_TOO_LARGE'],
    ['unreachable', 502, 'M_NOT_FOUND'],
  ] as const)('that are %s are %d %s', async (kind, status, errcode) => {
    await using server = await startMediaServer({ fetchRemote: async () => ({ kind }) });
    const answer = await server.client.get(`${download}/example.org/abc`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([status, errcode]);
  });

  test('that grow beyond the limit, or break off, leave nothing', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array, void> {
      yield Buffer.from('x');
      throw new Error('gone');
    };
    const content = { kind: 'content', contentType: undefined, filename: undefined } as const;
    const fetchRemote: FetchRemote = async ({ mediaId }) =>
      mediaId === 'large' ? { ...content, pieces: words('many words') } : { ...content, pieces: broken() };
    await using server = await startMediaServer({ fetchRemote, media: { maxRemoteSize: 5 } });
    expect((await server.client.get(`${download}/example.org/large`, 'alice')).json.errcode).toBe('M_TOO_LARGE');
    expect((await server.client.get(`${download}/example.org/broken`, 'alice')).status).toBe(502);
    expect([await filesIn(server, 'content'), await filesIn(server, 'incoming')]).toEqual([[], []]);
  });
});

describe('retention', () => {
  test('deletes what erased users have uploaded', async () => {
    await using server = await startMediaServer({ isErased: (_, user) => user === alice });
    const own = await server.upload(Buffer.from('shared'));
    const bobs = await server.upload(Buffer.from('shared'), { token: 'bob' });
    await server.media.retention.round();
    expect([await statusOf(server, own), await statusOf(server, bobs)]).toEqual([404, 200]);
  });

  test('deletes what nobody asked for in the time given', async () => {
    const clock = new FakeClock();
    const fetchRemote: FetchRemote = async ({ mediaId }) => ({
      kind: 'content',
      contentType: undefined,
      filename: undefined,
      pieces: (async function* () {
        yield Buffer.from(mediaId);
      })(),
    });
    const retention = { local: 30 * day, remote: 10 * day, budget: undefined };
    await using server = await startMediaServer({ clock, fetchRemote, media: { retention } });
    const own = await server.upload(Buffer.from('own'));
    await statusOf(server, 'example.org/abc');
    clock.advance(11 * day);
    await server.media.retention.round();
    expect(server.media.moderation.describe(idOf('example.org/abc'))).toBeUndefined();
    expect(server.media.moderation.describe(idOf(own))).toBeDefined();
    clock.advance(20 * day);
    await server.media.retention.round();
    expect(await statusOf(server, own)).toBe(404);
    expect(await server.media.verify()).toEqual([]);
  });

  test('keeps the storage budget: copies first, then the uploads that were not asked for the longest', async () => {
    const clock = new FakeClock();
    const fetchRemote: FetchRemote = async () => ({
      kind: 'content',
      contentType: undefined,
      filename: undefined,
      pieces: (async function* () {
        yield Buffer.alloc(100, 9);
      })(),
    });
    const retention = { local: undefined, remote: 10 * day, budget: 250 };
    await using server = await startMediaServer({ clock, fetchRemote, media: { retention } });
    const paths: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      paths.push(await server.upload(Buffer.alloc(100, n)));
      clock.advance(1000);
    }
    await statusOf(server, 'example.org/abc');
    await server.media.retention.round();
    expect(server.media.moderation.describe(idOf('example.org/abc'))).toBeUndefined();
    const left = await Promise.all(paths.map((path) => statusOf(server, path)));
    expect(left).toEqual([404, 200, 200]);
  });
});

describe('the sweep', () => {
  test('deletes files without rows, and verify names what does not fit', async () => {
    await using server = await startMediaServer();
    const path = await server.upload(await picture(200, 200));
    await server.media.thumbnails.drain();
    const hash = server.media.moderation.describe(idOf(path))?.hash ?? '';
    const stray = 'ab'.repeat(32);
    await mkdir(join(server.folder, 'content', 'ab'), { recursive: true });
    await writeFile(join(server.folder, 'content', 'ab', stray), 'x');
    await writeFile(join(server.folder, 'thumbnails', hash.slice(0, 2), `${hash}-5x5-crop`), 'x');
    expect(await server.media.retention.sweep()).toBe(2);
    expect(await server.media.retention.sweep()).toBe(0);
    expect(await server.media.verify()).toEqual([]);
    await unlink(join(server.folder, 'content', hash.slice(0, 2), hash));
    expect(await server.media.verify()).toEqual([`the file of media ${hash} is missing`]);
  });
});

describe('mxc URIs', () => {
  test.each(['mxc://a', 'mxc://a/', 'mxc://a/b/c', 'mxc://a/..', 'mxc://a b/c', 'http://a/b', 'mxc://a/b?c', ''])(
    '%j is none',
    (uri) => {
      expect(parseMxc(uri)).toBeUndefined();
    },
  );

  test('are found wherever they stand in an event', () => {
    const content = {
      url: 'mxc://a.example/1',
      info: { thumbnail_file: { url: 'mxc://a.example/2' }, x: ['mxc://b.example:8448/3', 5, null] },
      body: 'see mxc://a.example/4',
      again: 'mxc://a.example/1',
    };
    expect(
      findMxcs(content)
        .map(({ mediaId }) => mediaId)
        .sort(),
    ).toEqual(['1', '2', '3']);
  });
});
