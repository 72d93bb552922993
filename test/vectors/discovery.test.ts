import { describe, expect, test } from '@jest/globals';
import {
  afterSrv,
  afterWellKnown,
  beginDiscovery,
  delegatedName,
  orderSrv,
  wellKnownErrorLifetime,
  wellKnownLifetime,
  type DiscoveryStep,
  type ServerRoute,
  type SrvRecord,
} from '../../src/matrix/discovery.ts';
import type { ServerName } from '../../src/matrix/ids.ts';

interface World {
  readonly wellKnown?: string;
  readonly srv?: Readonly<Record<string, readonly SrvRecord[]>>;
}

/** Runs discovery against a table; also tells what was asked. */
function discover(name: string, { wellKnown, srv = {} }: World): { asked: string[]; route: ServerRoute | string } {
  const asked: string[] = [];
  let step: DiscoveryStep = beginDiscovery(name as ServerName);
  for (;;) {
    switch (step.step) {
      case 'well-known':
        asked.push(`well-known ${step.hostname}`);
        step = afterWellKnown(step.hostname, wellKnown === undefined ? undefined : delegatedName(wellKnown));
        break;
      case 'srv':
        asked.push(step.service);
        step = afterSrv(step, srv[step.service] ?? [], () => 0);
        break;
      case 'found':
        return { asked, route: step.route };
      case 'none':
        return { asked, route: step.reason };
    }
  }
}

const record = (name: string, port: number, priority = 10, weight = 5): SrvRecord => ({ name, port, priority, weight });
const to = (hostHeader: string, tlsName: string, ...endpoints: [string, number][]): ServerRoute => ({
  hostHeader,
  tlsName,
  endpoints: endpoints.map(([host, port]) => ({ host, port })),
});
const file = (server: unknown): string => JSON.stringify({ 'm.server': server });

describe('Resolving server names (S-S API): each step', () => {
  test.each<[string, string, World, ServerRoute, string[]]>([
    ['1: an IPv4 address', '192.0.2.1', {}, to('192.0.2.1', '192.0.2.1', ['192.0.2.1', 8448]), []],
    ['1: with a port', '192.0.2.1:80', {}, to('192.0.2.1:80', '192.0.2.1', ['192.0.2.1', 80]), []],
    ['1: an IPv6 address', '[2001:db8::1]', {}, to('[2001:db8::1]', '2001:db8::1', ['2001:db8::1', 8448]), []],
    ['1: IPv6 with a port', '[::1]:81', {}, to('[::1]:81', '::1', ['::1', 81]), []],
    ['2: a name with a port', 'a.example:99', {}, to('a.example:99', 'a.example', ['a.example', 99]), []],
    [
      '3.1: to an address',
      'a.example',
      { wellKnown: file('192.0.2.9') },
      to('192.0.2.9', '192.0.2.9', ['192.0.2.9', 8448]),
      ['well-known a.example'],
    ],
    [
      '3.1: to an address and port',
      'a.example',
      { wellKnown: file('[::2]:7') },
      to('[::2]:7', '::2', ['::2', 7]),
      ['well-known a.example'],
    ],
    [
      '3.2: to a name and port',
      'a.example',
      { wellKnown: file('b.example:443') },
      to('b.example:443', 'b.example', ['b.example', 443]),
      ['well-known a.example'],
    ],
    [
      '3.3: to a name with an SRV record',
      'a.example',
      { wellKnown: file('b.example'), srv: { '_matrix-fed._tcp.b.example': [record('c.example', 4)] } },
      to('b.example', 'b.example', ['c.example', 4]),
      ['well-known a.example', '_matrix-fed._tcp.b.example'],
    ],
    [
      '3.4: to a name with a deprecated SRV record',
      'a.example',
      { wellKnown: file('b.example'), srv: { '_matrix._tcp.b.example': [record('c.example', 4)] } },
      to('b.example', 'b.example', ['c.example', 4]),
      ['well-known a.example', '_matrix-fed._tcp.b.example', '_matrix._tcp.b.example'],
    ],
    [
      '3.5: to a plain name',
      'a.example',
      { wellKnown: file('b.example') },
      to('b.example', 'b.example', ['b.example', 8448]),
      ['well-known a.example', '_matrix-fed._tcp.b.example', '_matrix._tcp.b.example'],
    ],
    [
      '4: an SRV record',
      'a.example',
      { srv: { '_matrix-fed._tcp.a.example': [record('c.example.', 4), record('d.example', 5, 1)] } },
      to('a.example', 'a.example', ['d.example', 5], ['c.example', 4]),
      ['well-known a.example', '_matrix-fed._tcp.a.example'],
    ],
    [
      '5: a deprecated SRV record',
      'a.example',
      { wellKnown: 'no JSON', srv: { '_matrix._tcp.a.example': [record('c.example', 4)] } },
      to('a.example', 'a.example', ['c.example', 4]),
      ['well-known a.example', '_matrix-fed._tcp.a.example', '_matrix._tcp.a.example'],
    ],
    [
      '6: nothing at all',
      'a.example',
      { wellKnown: file('not a name!') },
      to('a.example', 'a.example', ['a.example', 8448]),
      ['well-known a.example', '_matrix-fed._tcp.a.example', '_matrix._tcp.a.example'],
    ],
  ])('%s', (_, name, world, route, asked) => {
    expect(discover(name, world)).toEqual({ asked, route });
  });

  test('an SRV record that points nowhere says that there is no federation', () => {
    const { route } = discover('a.example', { srv: { '_matrix-fed._tcp.a.example': [record('.', 0)] } });
    expect(route).toContain('offers no federation');
  });
});

test('a well-known file without a valid m.server counts as none', () => {
  for (const text of ['', '[]', '{}', file(1), file('a b'), file('a:99999999'), file('')])
    expect(delegatedName(text)).toBeUndefined();
  expect(delegatedName(file('b.example:1'))).toBe('b.example:1');
});

test('SRV records are ordered by priority, and by weighted chance within one', () => {
  const records = [record('z', 1, 2, 0), record('a', 1, 1, 1), record('b', 1, 1, 3)];
  expect(orderSrv(records, () => 0.1).map(({ name }) => name)).toEqual(['a', 'b', 'z']);
  expect(orderSrv(records, () => 0.9).map(({ name }) => name)).toEqual(['b', 'a', 'z']);
});

describe('how long a well-known file counts', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const hour = 3_600_000;
  test.each([
    [{}, 24 * hour],
    [{ cacheControl: 'public, max-age=7200' }, 2 * hour],
    [{ cacheControl: 'max-age=7200', age: '3600' }, hour],
    [{ cacheControl: 'max-age=99999999' }, 48 * hour],
    [{ cacheControl: 'max-age=0' }, 300_000],
    [{ cacheControl: 'no-store' }, 300_000],
    [{ expires: 'Thu, 01 Jan 2026 03:00:00 GMT' }, 3 * hour],
    [{ expires: '0' }, 300_000],
    [{ cacheControl: 'max-age=3600', expires: 'Fri, 02 Jan 2026 00:00:00 GMT' }, hour],
  ])('%j', (headers, expected) => {
    expect(wellKnownLifetime(headers, now)).toBe(expected);
  });

  test('errors count for minutes, then up to an hour', () => {
    expect([1, 2, 3, 5, 6, 50].map((failures) => wellKnownErrorLifetime(failures) / 60_000)).toEqual([
      2, 4, 8, 32, 60, 60,
    ]);
  });
});
