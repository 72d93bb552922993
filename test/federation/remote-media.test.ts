/** Files that are fetched from other servers. */
import { describe, expect, test } from '@jest/globals';
import { useEndpoints } from '../support/endpoint-scene.ts';
import { sendJson, startPeer, TestNetwork } from '../support/federation.ts';
import type { PeerHandler } from '../support/federation.ts';

const network = new TestNetwork();
const scene = useEndpoints(network);

describe('files of other servers', () => {
  const request = { timeoutMs: 5000, maxSize: 100_000 };
  const multipart =
    (headers: string, body: string): PeerHandler =>
    (_, response) =>
      void response
        .writeHead(200, { 'Content-Type': 'multipart/mixed; boundary=B' })
        .end(`--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n${headers}\r\n${body}\r\n--B--\r\n`);
  const text = async (pieces: AsyncIterable<Buffer>): Promise<string> => {
    let all = '';
    for await (const piece of pieces) all += piece.toString();
    return all;
  };

  test('come out of the multipart answer', async () => {
    scene.answer = multipart('Content-Type: image/png\r\nContent-Disposition: inline; filename=a.png\r\n', 'PNG');
    const file = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    if (!file.ok) throw new Error('no file');
    expect(file.value).toMatchObject({ contentType: 'image/png', filename: 'a.png' });
    expect(await text(file.value.pieces)).toBe('PNG');
    expect(scene.peer.requests[0]?.url).toBe('/_matrix/federation/v1/media/download/abc?timeout_ms=5000');
  });

  test('are thumbnails too', async () => {
    scene.answer = multipart('Content-Type: image/png\r\n', 'PNG');
    const wish = { width: 3, height: 4, method: 'crop', animated: undefined } as const;
    const file = await scene.api.downloadThumbnail(scene.peer.name, 'abc', wish, request);
    expect(file.ok && (await text(file.value.pieces))).toBe('PNG');
    expect(scene.peer.requests[0]?.url).toBe(
      '/_matrix/federation/v1/media/thumbnail/abc?width=3&height=4&method=crop&timeout_ms=5000',
    );
  });

  test('are fetched from the place that the answer names', async () => {
    await using store = await startPeer(
      network,
      ['store.test'],
      (_, response) => void response.writeHead(200, { 'Content-Type': 'text/plain' }).end('stored'),
    );
    network.hosts.set('store.test', ['127.0.0.1']);
    scene.answer = multipart(`Location: https://store.test:${store.port}/x?sig=1\r\n`, '');
    const file = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    expect(file.ok && (await text(file.value.pieces))).toBe('stored');
    expect(store.requests[0]).toMatchObject({ url: '/x?sig=1' });
    expect(store.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('are not fetched from inner networks or without TLS', async () => {
    for (const place of ['https://10.0.0.1/x', 'http://store.test/', 'file:///etc/passwd', 'junk']) {
      scene.answer = multipart(`Location: ${place}\r\n`, '');
      expect(await scene.api.downloadMedia(scene.peer.name, 'abc', request)).toMatchObject({ ok: false });
    }
  });

  test.each([{ errcode: 'M_UNRECOGNIZED', error: 'no' }, {}])(
    'come by the older path from servers that know no other: %j',
    async (unknown) => {
      scene.answer = (incoming, response) => {
        if (incoming.url.startsWith('/_matrix/federation/')) return sendJson(response, unknown, 404);
        response.writeHead(200, { 'Content-Type': 'text/plain' }).end('old');
      };
      const file = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
      expect(file.ok && (await text(file.value.pieces))).toBe('old');
      expect(scene.peer.requests[1]?.url).toBe(
        `/_matrix/media/v3/download/${encodeURIComponent(scene.peer.name)}/abc?timeout_ms=5000&allow_remote=false`,
      );
      expect(scene.peer.requests[1]?.headers.authorization).toBeUndefined();
    },
  );

  test('are not asked for by the older path when they are just not there', async () => {
    scene.answer = (_, response) => sendJson(response, { errcode: 'M_NOT_FOUND', error: 'no' }, 404);
    expect(await scene.api.downloadMedia(scene.peer.name, 'abc', request)).toMatchObject({
      ok: false,
      error: { status: 404 },
    });
    expect(scene.peer.requests).toHaveLength(1);
  });

  test('that are too large or cut off fail while they are read', async () => {
    scene.answer = multipart('', 'x'.repeat(500_000));
    const large = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    await expect(large.ok ? text(large.value.pieces) : undefined).rejects.toThrow('larger');
    scene.answer = (_, response) => {
      response.writeHead(200, { 'Content-Type': 'multipart/mixed; boundary=B' });
      response.end('--B\r\n\r\n{}\r\n--B\r\n\r\nhalf of it');
    };
    const cut = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    await expect(cut.ok ? text(cut.value.pieces) : undefined).rejects.toThrow('cut off');
  });

  test('leave nothing behind when their reader goes', async () => {
    scene.answer = multipart('', 'x'.repeat(90_000));
    const file = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    if (!file.ok) throw new Error('no file');
    for await (const _piece of file.value.pieces) break;
    scene.answer = multipart('', 'next');
    const next = await scene.api.downloadMedia(scene.peer.name, 'abc', request);
    expect(next.ok && (await text(next.value.pieces))).toBe('next');
  });
});
