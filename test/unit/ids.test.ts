import { describe, expect, test } from '@jest/globals';
import * as ids from '../../src/matrix/ids.ts';

const long = 'a'.repeat(240);

describe('A server name', () => {
  test.each([
    'matrix.org',
    'matrix.org:8888',
    '1.2.3.4',
    '1.2.3.4:1234',
    '[1234:5678::abcd]',
    '[1234:5678::abcd]:5678',
    'localhost',
    'UPPER.example',
    'a-b.c',
  ])('may be %s', (name) => expect(ids.parseServerName(name)).toBe(name));
  test.each([
    '',
    ':80',
    'a:',
    'a:123456',
    'a:8x',
    'a b',
    'ä.org',
    '[::1',
    '[1::2::3]',
    '[]',
    '256.1.1.1',
    'a_b.org',
    'a/b',
    'a\n',
  ])('may not be %j', (name) => expect(ids.parseServerName(name)).toBeUndefined());
});

describe('A user id', () => {
  test.each(['@alice:example.org', '@:example.org', '@Ä ß\n\u{1f600}:example.org:8448', '@a@b:[::1]'])(
    'from outside may be %j',
    (id) => expect(ids.parseUserId(id)).toBe(id),
  );
  test.each([
    'alice:example.org',
    '@alice',
    '@a\0:example.org',
    '@\ud800:example.org',
    '@a:b:c',
    `@${long}:example.org.net`,
    '@a:',
  ])('may not be %j', (id) => expect(ids.parseUserId(id)).toBeUndefined());
  test('counts bytes, not characters, up to 255', () => {
    expect(ids.parseUserId(`@${'a'.repeat(251)}:bc`)).toBeDefined();
    expect(ids.parseUserId(`@${'a'.repeat(252)}:bc`)).toBeUndefined();
    expect(ids.parseUserId(`@${'ä'.repeat(125)}:bcd`)).toBeDefined();
    expect(ids.parseUserId(`@${'ä'.repeat(126)}:bcd`)).toBeUndefined();
  });
  test('of a new local user takes the restricted alphabet only', () => {
    for (const name of ['alice', 'a.b_c=d/e+f-0']) expect(ids.isValidLocalpartForRegistration(name)).toBe(true);
    for (const name of ['', 'Alice', 'a b', 'ä', 'a:b', 'a\n'])
      expect(ids.isValidLocalpartForRegistration(name)).toBe(false);
  });
  test('is compliant when its localpart is visible ASCII and not empty', () => {
    const isCompliant = (text: string): boolean => {
      const id = ids.parseUserId(text);
      return id !== undefined && ids.isCompliantUserId(id);
    };
    expect(isCompliant('@Al*ce:example.org')).toBe(true);
    for (const text of ['@:example.org', '@ä:example.org', '@a b:example.org']) expect(isCompliant(text)).toBe(false);
  });
});

test('A room id has a server, or is the hash of its create event', () => {
  const hash = `!${'aB3_-'.repeat(8)}abc`;
  expect(ids.parseRoomId(hash)).toBe(hash);
  expect(ids.isHashRoomId(hash)).toBe(true);
  expect(ids.parseRoomId('!any thing:example.org')).toBeDefined();
  for (const id of ['!abc', `${hash}x`, '!a:b c', '#a:example.org']) expect(ids.parseRoomId(id)).toBeUndefined();
  const room = ids.parseRoomId(hash);
  if (room !== undefined) expect(ids.roomIdOfCreate(ids.createIdOfRoom(room))).toBe(hash);
});

test('Aliases, event ids, device ids and key ids are told from garbage', () => {
  expect(ids.parseRoomAlias('#kaffee ☕:example.org')).toBeDefined();
  expect(ids.parseRoomAlias('#kaffee')).toBeUndefined();
  for (const id of ['$a:example.org', '$abc/+', `$${'x'.repeat(254)}`]) expect(ids.parseEventId(id)).toBe(id);
  for (const id of ['$', 'a', `$${'x'.repeat(255)}`, '$\ud800']) expect(ids.parseEventId(id)).toBeUndefined();
  expect(ids.parseDomainEventId('$abc')).toBeUndefined();
  expect(ids.parseDeviceId('ABC DEF')).toBe('ABC DEF');
  for (const id of ['', 'x'.repeat(256), 'a\0']) expect(ids.parseDeviceId(id)).toBeUndefined();
  expect(ids.isOpaqueId('a.b_c~d-0')).toBe(true);
  for (const id of ['', 'a b', 'x'.repeat(256)]) expect(ids.isOpaqueId(id)).toBe(false);
  expect(ids.isNamespacedId('org.example.thing')).toBe(true);
  for (const id of ['Org', '0a', '']) expect(ids.isNamespacedId(id)).toBe(false);
  expect(ids.parseKeyId('ed25519:a_1')).toEqual({ algorithm: 'ed25519', version: 'a_1' });
  for (const id of ['ed25519', ':a', 'ed25519:']) expect(ids.parseKeyId(id)).toBeUndefined();
});

test('Ids come apart at the first colon and go together again', () => {
  const server = ids.parseServerName('example.org:8448');
  if (server === undefined) throw new Error('unreachable');
  const user = ids.formatUserId('alice', server);
  const alias = ids.formatRoomAlias('room', server);
  if (user === undefined || alias === undefined) throw new Error('unreachable');
  expect(user).toBe('@alice:example.org:8448');
  expect(ids.serverNameOf(user)).toBe(server);
  expect(ids.localpartOf(user)).toBe('alice');
  expect(ids.localpartOf(alias)).toBe('room');
  expect(ids.formatRoomId('abc', server)).toBe('!abc:example.org:8448');
  expect(ids.formatUserId('a:b', server)).toBeUndefined();
  const hash = ids.parseRoomId(`!${'x'.repeat(43)}`);
  if (hash === undefined) throw new Error('unreachable');
  expect(ids.serverNameOf(hash)).toBeUndefined();
  expect(ids.localpartOf(hash)).toBe('x'.repeat(43));
});
