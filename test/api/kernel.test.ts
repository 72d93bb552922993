import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { route } from '../../src/http/index.ts';
import { CommitError } from '../../src/storage/index.ts';
import { startTestServer, tableAuthenticator, testRequester, type TestServer } from '../support/http.ts';
import { rows, base, handled } from '../support/kernel-rows.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(rows, {
    authenticator: tableAuthenticator({
      alice: testRequester('alice'),
      guest: testRequester('guest', { isGuest: true }),
      root: testRequester('root', { isAdmin: true }),
      quiet: testRequester('quiet', { isSuspended: true }),
    }),
  });
});
afterAll(() => server.stop());

describe('every answer', () => {
  test('is JSON with its exact length and the CORS headers', async () => {
    const answer = await server.client.get(`${base}/open`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('content-length')).toBe(String(answer.text.length));
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect(answer.headers.get('access-control-allow-methods')).toBe('GET, POST, PUT, DELETE, OPTIONS');
    expect(answer.headers.get('access-control-allow-headers')).toBe('X-Requested-With, Content-Type, Authorization');
    expect(answer.headers.get('x-powered-by')).toBeNull();
  });

  test('OPTIONS runs nothing', async () => {
    const before = handled.count;
    const answer = await server.client.request(`${base}/open`, { method: 'OPTIONS' });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, '*']);
    expect(handled.count).toBe(before);
  });

  test('HEAD has the headers of GET and no body', async () => {
    const answer = await server.client.request(`${base}/who`, { method: 'HEAD', token: 'alice' });
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(10);
  });

  test('an unknown path is 404 M_UNRECOGNIZED and a wrong method 405 M_UNRECOGNIZED', async () => {
    const unknown = await server.client.get('/_matrix/client/v3/nothing');
    const method = await server.client.put(`${base}/open`, {});
    expect([unknown.status, unknown.json.errcode]).toEqual([404, 'M_UNRECOGNIZED']);
    expect([method.status, method.json.errcode]).toEqual([405, 'M_UNRECOGNIZED']);
    expect(unknown.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('r0 serves what v3 serves', async () => {
    expect((await server.client.get('/_matrix/client/r0/test/open')).status).toBe(200);
  });

  test('composed JSON text is sent as it is, with its length in bytes', async () => {
    const answer = await server.client.get(`${base}/text`);
    expect(answer.json.a).toHaveLength(40_001);
    expect(answer.headers.get('content-length')).toBe(String(Buffer.byteLength(answer.text)));
  });

  test('bytes are sent with their own type and status', async () => {
    const response = await fetch(`${server.url}${base}/reply`, { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, '/there']);
    expect(response.headers.get('content-type')).toBe('text/plain');
  });

  test('an unforeseen fault is a 500 with an id and no text', async () => {
    const answer = await server.client.get(`${base}/broken`);
    expect([answer.status, answer.json.errcode]).toEqual([500, 'M_UNKNOWN']);
    expect(answer.text).not.toContain('42');
  });

  test('a limit names the wait in the header and in the body', async () => {
    const answer = await server.client.get(`${base}/limited`);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '2']);
    expect(answer.json).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 1500 });
  });

  test('the health of the server can be asked for', async () => {
    expect((await server.client.get('/health')).json).toEqual({ status: 'ok' });
  });

  test('metrics are not served where they are not wanted', async () => {
    expect((await server.client.get('/metrics')).status).toBe(404);
  });
});

describe('tokens', () => {
  test.each([
    ['the header', `${base}/who`, 'alice', 200, undefined],
    ['the query', `${base}/who?access_token=alice`, undefined, 200, undefined],
    ['no token', `${base}/who`, undefined, 401, 'M_MISSING_TOKEN'],
    ['an unknown token', `${base}/who`, 'mallory', 401, 'M_UNKNOWN_TOKEN'],
    ['a guest where guests may come', `${base}/who`, 'guest', 200, undefined],
    ['a guest where guests may not', `${base}/users`, 'guest', 403, 'M_GUEST_ACCESS_FORBIDDEN'],
    ['a user where administrators may', `${base}/admins`, 'alice', 403, 'M_FORBIDDEN'],
    ['an administrator', `${base}/admins`, 'root', 200, undefined],
    ['an optional token', `${base}/maybe`, 'alice', 200, undefined],
    ['an optional token that is wrong', `${base}/maybe`, 'mallory', 401, 'M_UNKNOWN_TOKEN'],
    ['nobody where a token is optional', `${base}/maybe`, undefined, 200, undefined],
  ])('%s', async (_name, path, token, status, errcode) => {
    const answer = await server.client.get(path, token);
    expect([answer.status, answer.json.errcode]).toEqual([status, errcode]);
  });

  test('a suspended account may not change things', async () => {
    const answer = await server.client.put(`${base}/change`, {}, 'quiet');
    expect([answer.status, answer.json.errcode]).toEqual([403, 'M_USER_SUSPENDED']);
  });
});

describe('bodies', () => {
  const send = (body: unknown, headers: Record<string, string> = {}) =>
    server.client.request(`${base}/body`, { method: 'POST', body, headers });

  test('any Content-Type is read as JSON', async () => {
    expect((await send('{"name":"é"}', { 'Content-Type': 'text/plain' })).json).toEqual({ name: 'é' });
  });

  test('an empty body is an empty object', async () => {
    const answer = await server.client.request(`${base}/empty`, { method: 'POST' });
    expect([answer.status, answer.json]).toEqual([200, {}]);
  });

  test.each([
    ['no JSON', '{"name":', 400, 'M_NOT_JSON'],
    ['bad UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400, 'M_NOT_JSON'],
    ['JSON without end of depth', '['.repeat(20_000) + ']'.repeat(20_000), 400, 'M_NOT_JSON'],
    ['an array', '[1]', 400, 'M_BAD_JSON'],
    ['half a surrogate pair', '{"name":"\\ud800"}', 400, 'M_BAD_JSON'],
    ['a missing key', '{}', 400, 'M_MISSING_PARAM'],
    ['a wrong type', '{"name":1}', 400, 'M_BAD_JSON'],
    ['a missing key further down', '{"name":"a","deep":{}}', 400, 'M_BAD_JSON'],
    ['too much', JSON.stringify({ name: 'x'.repeat(70_000) }), 413, 'M_TOO_LARGE'],
  ])('%s', async (_name, body, status, errcode) => {
    const answer = await send(body);
    expect([answer.status, answer.json.errcode]).toEqual([status, errcode]);
  });

  test('a fault names its place and does not repeat the value', async () => {
    const answer = await send('{"name":"a","deep":{"kind":"x"},"age":"hunter2"}');
    expect(answer.json.error).toBe('Invalid value of age: expected number');
  });

  test('a body without announced length is cut off at the limit', async () => {
    const body = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(20_000).fill(0x20));
        if ((sent += 20_000) > 200_000) controller.close();
      },
    });
    let sent = 0;
    const response = await fetch(`${server.url}${base}/body`, { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(413);
  });

  test.each([
    ['a float', '{"a":1.5}', 400],
    ['an integer written as a float', '{"a":1.0}', 400],
    ['a duplicate key', '{"a":1,"a":2}', 400],
    ['an integer', '{"a":1}', 200],
  ])('what becomes an event is canonical JSON: %s', async (_name, body, status) => {
    expect((await server.client.put(`${base}/event`, body)).status).toBe(status);
  });
});

describe('paths and queries', () => {
  test('a missing parameter and a wrong one are told apart', async () => {
    expect((await server.client.get(`${base}/query`)).json.errcode).toBe('M_MISSING_PARAM');
    expect((await server.client.get(`${base}/query?dir=x`)).json.errcode).toBe('M_INVALID_PARAM');
    expect((await server.client.get(`${base}/query?dir=f&other=1`)).json).toEqual({ dir: 'f' });
  });

  test('repeated keys of a query are a list', async () => {
    expect((await server.client.get(`${base}/state/a/b%2Fc?x=1&x=2&y=%2B`)).json).toEqual({
      params: { type: 'a', key: 'b/c' },
      query: { x: ['1', '2'], y: '+' },
    });
  });

  test('a parameter that an alias lacks is empty', async () => {
    expect((await server.client.get(`${base}/state/a`)).json.params).toEqual({ type: 'a', key: '' });
  });

  test('a broken percent escape in a parameter is M_INVALID_PARAM', async () => {
    const answer = await server.client.get(`${base}/state/%ff`);
    expect([answer.status, answer.json.errcode]).toEqual([400, 'M_INVALID_PARAM']);
  });
});

describe('a disk that takes nothing', () => {
  test.each([
    [
      'is full',
      Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' }),
      /disk of the server is full/,
    ],
    ['refuses a commit', new CommitError(new Error('busy')), /may be tried again/],
  ])('is told of when it %s', async (_name, error, words) => {
    const write = route({ method: 'PUT', path: '/w', auth: 'none', rate: 'none', handle: () => Promise.reject(error) });
    await using broken = await startTestServer([write]);
    const answer = await broken.client.put('/w', {});
    expect([answer.status, answer.json.errcode]).toEqual([503, 'M_UNKNOWN']);
    expect(answer.json.error).toMatch(words);
    expect(answer.headers.get('retry-after')).not.toBeNull();
  });
});
