import { expect, test } from '@jest/globals';
import { Passwords } from '../../../src/userapi/passwords.ts';

const passwords = new Passwords({ memory: 16_384, passes: 2 });

test('a password is known by its hash, which says how it was made', async () => {
  const hash = await passwords.hash('correct horse');
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=16,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(await passwords.verify('correct horse', hash)).toBe(true);
  expect(await passwords.verify('battery staple', hash)).toBe(false);
  expect(await passwords.hash('correct horse')).not.toBe(hash);
});

test('hashes made at another cost are still checked', async () => {
  const older = await new Passwords({ memory: 8192, passes: 1 }).hash('correct horse');
  expect(await passwords.verify('correct horse', older)).toBe(true);
});

test('without a hash no password is right, not even the empty one', async () => {
  expect(await passwords.verify('', undefined)).toBe(false);
  expect(await passwords.verify('guess', undefined)).toBe(false);
});

test('a hash of the reference implementation is understood', async () => {
  const reference = '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4';
  expect(await passwords.verify('password', reference)).toBe(true);
});
