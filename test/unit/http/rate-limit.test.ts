import { describe, expect, test } from '@jest/globals';
import { BlockList } from 'node:net';
import { clientAddress, limitedAddress } from '../../../src/http/address.ts';
import { RateLimiter } from '../../../src/http/index.ts';
import { MatrixError } from '../../../src/matrix/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { testConfig, testRequester } from '../../support/http.ts';

const limits = { ...testConfig().rateLimits, login: { perSecond: 0.5, burst: 2 } };

describe('rate limits', () => {
  test('a burst passes, then requests pass at the rate', () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(limits, clock);
    expect([1, 2, 3].map(() => limiter.take('login', 'user:@a:b'))).toEqual([0, 0, 2000]);
    clock.advance(1000);
    expect(limiter.take('login', 'user:@a:b')).toBe(1000);
    clock.advance(1000);
    expect(limiter.take('login', 'user:@a:b')).toBe(0);
    expect(limiter.take('login', 'user:@a:b')).toBe(2000);
  });

  test('keys and classes do not share', () => {
    const limiter = new RateLimiter(limits, new FakeClock());
    for (let count = 0; count < 3; count += 1) limiter.take('login', 'user:@a:b');
    expect(limiter.take('login', 'user:@c:b')).toBe(0);
    expect(limiter.take('read', 'user:@a:b')).toBe(0);
  });

  test('what is refused is M_LIMIT_EXCEEDED with the time to wait', () => {
    const limiter = new RateLimiter(limits, new FakeClock());
    limiter.take('login', 'x');
    limiter.take('login', 'x');
    expect(() => limiter.demand('login', 'x')).toThrow(MatrixError);
  });

  test('administrators and application services are not limited, everyone else by account or address', () => {
    const limiter = new RateLimiter(limits, new FakeClock());
    const often = (requester: Parameters<RateLimiter['demandFor']>[1], address: string): string => {
      try {
        for (let count = 0; count < 5; count += 1) limiter.demandFor('login', requester, address);
        return 'free';
      } catch {
        return 'limited';
      }
    };
    expect(often(testRequester('root', { isAdmin: true }), '192.0.2.1')).toBe('free');
    expect(often(testRequester('bridge', { appserviceId: 'irc', isUnlimited: true }), '192.0.2.1')).toBe('free');
    expect(often(testRequester('alice'), '192.0.2.1')).toBe('limited');
    expect(often(undefined, '192.0.2.1')).toBe('limited');
    expect(limiter.take('login', 'address:192.0.2.2')).toBe(0);
  });

  test('switched off, nothing is limited', () => {
    const limiter = new RateLimiter({ ...limits, enabled: false }, new FakeClock());
    for (let count = 0; count < 50; count += 1) expect(limiter.take('login', 'x')).toBe(0);
    expect(limiter.size).toBe(0);
  });

  test('memory is bounded: the buckets used longest ago are forgotten', () => {
    const limiter = new RateLimiter(limits, new FakeClock());
    for (let index = 0; index < 30_000; index += 1) limiter.take('login', `address:${index}`);
    expect(limiter.size).toBe(20_000);
  });

  test('an IPv6 customer is one address', () => {
    expect(limitedAddress('2001:db8:1:2:3::4')).toBe('2001:db8:1:2::/64');
    expect(limitedAddress('2001:db8::1')).toBe('2001:db8:0:0::/64');
    expect(limitedAddress('::1')).toBe('0:0:0:0::/64');
    expect(limitedAddress('192.0.2.1')).toBe('192.0.2.1');
  });
});

describe('the address of a client', () => {
  const trusted = new BlockList();
  trusted.addAddress('127.0.0.1');
  trusted.addSubnet('10.0.0.0', 8);

  test.each([
    ['a peer that is no proxy', '192.0.2.9', '198.51.100.1', '192.0.2.9'],
    ['behind a proxy', '127.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['behind two proxies', '::ffff:127.0.0.1', '198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['what the client wrote itself', '127.0.0.1', '1.1.1.1, 198.51.100.1', '198.51.100.1'],
    ['nonsense', '127.0.0.1', 'unknown', '127.0.0.1'],
    ['no header', '127.0.0.1', undefined, '127.0.0.1'],
    ['IPv6 with port', '127.0.0.1', '[2001:db8::1]:443', '2001:db8::1'],
  ])('%s', (_name, peer, header, expected) => {
    expect(clientAddress(peer, header, trusted)).toBe(expected);
  });
});
