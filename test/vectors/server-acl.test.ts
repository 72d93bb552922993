import { describe, expect, test } from '@jest/globals';
import { matchesGlob } from '../../src/matrix/glob.ts';
import { isServerAllowed } from '../../src/matrix/server-acl.ts';
import type { JsonObject } from '../../src/matrix/json.ts';

describe('server ACLs', () => {
  const cases: [title: string, acl: JsonObject | undefined, server: string, allowed: boolean][] = [
    ['no ACL event lets everyone in', undefined, 'evil.com', true],
    ['a missing allow list denies all', {}, 'good.com', false],
    ['an allow list that is no list denies all', { allow: '*' }, 'good.com', false],
    ['allow * admits', { allow: ['*'] }, 'good.com', true],
    ['deny wins over allow', { allow: ['*'], deny: ['evil.com'] }, 'evil.com', false],
    ['deny does not reach subdomains by itself', { allow: ['*'], deny: ['evil.com'] }, 'a.evil.com', true],
    ['a deny pattern reaches subdomains', { allow: ['*'], deny: ['*.evil.com'] }, 'a.b.evil.com', false],
    ['who is not allowed is denied', { allow: ['good.com'] }, 'other.com', false],
    ['ports of the server are ignored', { allow: ['*'], deny: ['evil.com'] }, 'evil.com:8448', false],
    ['case is ignored in names', { allow: ['*'], deny: ['Evil.COM'] }, 'eVIL.com', false],
    ['case is ignored in patterns', { allow: ['*.Good.com'] }, 'A.gOOD.com', true],
    ['a question mark is exactly one character', { allow: ['a?.com'] }, 'ab.com', true],
    ['a question mark is not none', { allow: ['a?.com'] }, 'a.com', false],
    ['a dot is just a dot', { allow: ['a.com'] }, 'abcom', false],
    ['IPv4 literals are allowed by default', { allow: ['*'] }, '1.2.3.4', true],
    ['IPv4 literals can be forbidden', { allow: ['*'], allow_ip_literals: false }, '1.2.3.4', false],
    ['also with a port', { allow: ['*'], allow_ip_literals: false }, '1.2.3.4:80', false],
    ['IPv6 literals can be forbidden', { allow: ['*'], allow_ip_literals: false }, '[2001:db8::1]', false],
    ['also with a port', { allow: ['*'], allow_ip_literals: false }, '[2001:db8::1]:8448', false],
    ['names are no IP literals', { allow: ['*'], allow_ip_literals: false }, '1.2.3.example', true],
    ['a flag that is no boolean counts as true', { allow: ['*'], allow_ip_literals: 'false' }, '1.2.3.4', true],
    ['an IPv6 literal can be denied', { allow: ['*'], deny: ['[2001:db8::1]'] }, '[2001:db8::1]:8448', false],
    ['entries that are no text are passed over', { allow: [5, null, 'good.com'] }, 'good.com', true],
  ];
  test.each(cases)('%s (%j, %s)', (_title, acl, server, allowed) => {
    expect(isServerAllowed(acl, server)).toBe(allowed);
  });
});

describe('globs', () => {
  test.each([
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['**', 'abc', true],
    ['a*c', 'abbc', true],
    ['a*c', 'abcd', false],
    ['*ab', 'aab', true],
    ['a*b*c', 'aXbYbZc', true],
    ['?', '', false],
    ['*?', 'a', true],
  ])('%j against %j is %s', (pattern, text, matches) => {
    expect(matchesGlob(pattern, text)).toBe(matches);
  });

  test('many stars against a long text that does not match are judged at once', () => {
    expect(matchesGlob(`${'*a'.repeat(100)}b`, 'a'.repeat(20_000))).toBe(false);
  });
});
