import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { FakeClock } from '../support/fake-clock.ts';
import { measure, picture, startMediaServer, type MediaServer } from '../support/media.ts';

const path = '/_matrix/client/v1/media/preview_url';
type Page = (request: IncomingMessage, response: ServerResponse) => void;

const pages = new Map<string, Page>();
const seen: string[] = [];
const clock = new FakeClock();
let web: Server;
let base: string;
let server: MediaServer;

beforeAll(async () => {
  web = createServer((request, response) => {
    const { url = '' } = request;
    seen.push(url);
    const page = pages.get(url);
    if (page === undefined) response.writeHead(404).end();
    else page(request, response);
  }).listen(0, '127.0.0.1');
  await once(web, 'listening');
  base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  const previews = { enabled: true, allowNetworks: ['127.0.0.1'], maxImageSize: 200_000, timeout: 500 };
  server = await startMediaServer({ previews, clock });
});
afterAll(async () => {
  await server.stop();
  web.closeAllConnections();
  web.close();
});
beforeEach(() => {
  pages.clear();
  seen.length = 0;
});

const serve = (
  at: string,
  body: string | Uint8Array,
  type = 'text/html',
  headers: Record<string, string> = {},
): void => {
  pages.set(at, (_, response) => response.writeHead(200, { 'Content-Type': type, ...headers }).end(body));
};
const preview = (url: string) => server.client.get(`${path}?url=${encodeURIComponent(url)}`, 'alice');

describe('a preview', () => {
  test('is the OpenGraph data of the page with its image stored here, by either path', async () => {
    const image = await picture(279, 129);
    serve('/image.png', image, 'image/png');
    serve(
      '/page',
      '<html><head><title>x</title><meta property="og:title" content="The Rock"><meta property="og:type" content="video.movie">' +
        '<meta property="og:image" content="image.png"><meta property="og:image:width" content="1"></head></html>',
    );
    const { status, json } = await preview(`${base}/page#part`);
    expect(status).toBe(200);
    expect(json).toEqual({
      'og:title': 'The Rock',
      'og:type': 'video.movie',
      'og:image': expect.stringMatching(/^mxc:\/\/localhost\//),
      'og:image:type': 'image/png',
      'og:image:width': 279,
      'og:image:height': 129,
      'matrix:image:size': image.length,
    });
    const id = (json['og:image'] as string).slice(6);
    expect((await server.fetch(`/_matrix/client/v1/media/download/${id}`, 'bob')).bytes.equals(image)).toBe(true);
    const small = await server.fetch(`/_matrix/client/v1/media/thumbnail/${id}?width=32&height=32&method=crop`, 'bob');
    expect(await measure(small.bytes)).toMatchObject({ width: 32, height: 32 });
    const again = await server.client.get(
      `/_matrix/media/v3/preview_url?url=${encodeURIComponent(`${base}/page`)}`,
      'bob',
    );
    expect(again.json).toEqual(json);
    expect(seen).toEqual(['/page', '/image.png']);
  });

  test('of an image is the image', async () => {
    serve('/a%20picture.png', await picture(40, 30), 'image/png');
    expect((await preview(`${base}/a%20picture.png`)).json).toMatchObject({
      'og:title': 'a picture.png',
      'og:image:width': 40,
    });
  });

  test('reads the characters that the page is written in', async () => {
    serve('/latin', Buffer.from('<title>Straße</title>', 'latin1'), 'text/html; charset=iso-8859-1');
    expect((await preview(`${base}/latin`)).json).toEqual({ 'og:title': 'Straße' });
    serve('/packed', gzipSync('<title>packed</title>'), 'text/html', { 'Content-Encoding': 'gzip' });
    expect((await preview(`${base}/packed`)).json).toEqual({ 'og:title': 'packed' });
  });

  test('takes from oEmbed what the page leaves open', async () => {
    serve('/video', '<title>t</title><link rel="alternate" type="application/json+oembed" href="/oembed?x">');
    serve('/oembed?x', JSON.stringify({ type: 'video', title: 'other', provider_name: 'Tube' }), 'application/json');
    expect((await preview(`${base}/video`)).json).toEqual({ 'og:title': 't', 'og:site_name': 'Tube' });
  });

  test('follows redirects, and ends where they do not', async () => {
    pages.set('/from', (_, response) => response.writeHead(302, { Location: '/to' }).end());
    serve('/to', '<title>there</title>');
    expect((await preview(`${base}/from`)).json).toEqual({ 'og:title': 'there' });
    pages.set('/round', (_, response) => response.writeHead(302, { Location: '/round' }).end());
    expect((await preview(`${base}/round`)).status).toBe(404);
    expect(seen.filter((url) => url === '/round').length).toBe(6);
  });

  test('of a page whose image is too large, broken or gone comes without one', async () => {
    serve('/large.png', Buffer.concat([await picture(10, 10), Buffer.alloc(300_000)]), 'image/png');
    serve('/text.png', 'no image', 'image/png');
    serve('/half.png', (await picture(300, 300)).subarray(0, 20), 'image/png');
    for (const name of ['large.png', 'text.png', 'half.png', 'gone.png', 'data:image/png,x', 'http://10.0.0.1/x.png']) {
      const page = `/page-with-${encodeURIComponent(name)}`;
      serve(
        page,
        `<title>t</title><meta property="og:image" content="${name}"><meta property="og:image:width" content="5">`,
      );
      expect((await preview(base + page)).json).toEqual({ 'og:title': 't' });
    }
    expect(await server.media.verify()).toEqual([]);
  });

  test('of what is neither page nor image is empty', async () => {
    serve('/pdf', 'x', 'application/pdf');
    expect((await preview(`${base}/pdf`)).json).toEqual({});
  });

  test('reads only the beginning of an endless page, and of an endless packed one', async () => {
    const head = '<title>endless</title>';
    pages.set('/endless', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).write(head);
      const more = (): void => void (response.destroyed || (response.write(' '.repeat(65_536)), setImmediate(more)));
      more();
    });
    expect((await preview(`${base}/endless`)).json).toEqual({ 'og:title': 'endless' });
    const bomb = gzipSync(head + ' '.repeat(50_000_000));
    serve('/bomb', bomb, 'text/html', { 'Content-Encoding': 'gzip' });
    expect((await preview(`${base}/bomb`)).json).toEqual({ 'og:title': 'endless' });
  });

  test('gives up on a page that does not come in time', async () => {
    pages.set('/silent', () => undefined);
    expect((await preview(`${base}/silent`)).json.errcode).toBe('M_NOT_FOUND');
  });

  test.each([
    'http://127.0.0.2/',
    'http://[::1]/',
    'http://169.254.169.254/latest/meta-data',
    'http://localhost:8081/',
  ])('of %s is refused as if nothing were there', async (url) => {
    const answer = await preview(url);
    expect([answer.status, answer.json]).toEqual([
      404,
      { errcode: 'M_NOT_FOUND', error: 'The page could not be fetched' },
    ]);
  });

  test('does not follow a redirect inside', async () => {
    pages.set('/inside', (_, response) => response.writeHead(301, { Location: 'http://127.0.0.2/' }).end());
    expect((await preview(`${base}/inside`)).status).toBe(404);
    pages.set('/file', (_, response) => response.writeHead(301, { Location: 'file:///etc/passwd' }).end());
    expect((await preview(`${base}/file`)).status).toBe(404);
  });

  test.each(['', 'ftp://example.org/', 'nonsense', 'http://user:pass@example.org/'])(
    'of %j is M_INVALID_PARAM',
    async (url) => {
      expect((await preview(url)).json.errcode).toBe('M_INVALID_PARAM');
    },
  );

  test('is fetched once for all who ask at once, and again when it is old', async () => {
    serve('/once', '<title>1</title>');
    const answers = await Promise.all([1, 2, 3].map(() => preview(`${base}/once`)));
    expect(answers.map(({ json }) => json)).toEqual([1, 2, 3].map(() => ({ 'og:title': '1' })));
    serve('/once', '<title>2</title>');
    clock.advance(3_600_000);
    expect((await preview(`${base}/once`)).json).toEqual({ 'og:title': '1' });
    clock.advance(86_400_000);
    expect((await preview(`${base}/once`)).json).toEqual({ 'og:title': '2' });
    expect(seen).toEqual(['/once', '/once']);
  });

  test('needs a URL, an account, and previews to be on', async () => {
    expect((await server.client.get(path, 'alice')).json.errcode).toBe('M_MISSING_PARAM');
    expect((await server.client.get(`${path}?url=x`)).json.errcode).toBe('M_MISSING_TOKEN');
    await using off = await startMediaServer();
    const answer = await off.client.get(`${path}?url=${encodeURIComponent(base)}`, 'alice');
    expect([answer.status, answer.json.errcode]).toEqual([404, 'M_NOT_FOUND']);
  });
});
