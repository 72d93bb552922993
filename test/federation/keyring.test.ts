import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { KeyWish } from '../../src/fedclient/index.ts';
import { writeKeyDocument } from '../../src/fedclient/key-document.ts';
import { signJson } from '../../src/matrix/signing.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  keyFetches,
  sendJson,
  startFed,
  startKeyedPeer,
  testSigningKey,
  TestNetwork,
  type KeyedPeer,
  type TestFed,
} from '../support/federation.ts';

const hour = 3_600_000;
const day = 24 * hour;

let network: TestNetwork;
let peer: KeyedPeer;
let us: TestFed;
let clock: FakeClock;
let count = 0;

beforeAll(() => {
  network = new TestNetwork();
});
beforeEach(async () => {
  clock = new FakeClock();
  peer = await startKeyedPeer(network, `peer${(count += 1)}.test`);
  peer.keys.validUntil = () => clock.now() + day;
  us = await startFed(network, { clock });
});
afterEach(async () => {
  await us[Symbol.asyncDispose]();
  await peer[Symbol.asyncDispose]();
});

const ask = (more: Partial<KeyWish> = {}) =>
  us.fed.keyRing.key({
    server: peer.name,
    keyId: peer.keys.signing.keyId,
    at: clock.now(),
    enforceValidity: true,
    ...more,
  });
const found = () => ({ kind: 'key', publicKey: Buffer.from(peer.keys.signing.key.publicKey) });

describe('the key ring', () => {
  test('fetches a key once for all who want it at the same time, and keeps it', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask()));
    for (const answer of answers) expect(answer).toEqual(found());
    expect(keyFetches(peer)).toBe(1);
    expect(await ask()).toEqual(found());
    expect(keyFetches(peer)).toBe(1);
  });

  test('knows its keys after a restart', async () => {
    await ask();
    await using again = await startFed(network, { clock, db: us.db });
    const answer = await again.fed.keyRing.key({
      server: peer.name,
      keyId: peer.keys.signing.keyId,
      at: clock.now(),
      enforceValidity: true,
    });
    expect(answer).toEqual(found());
    expect(keyFetches(peer)).toBe(1);
  });

  test('asks again after half of the lifetime, without anyone waiting', async () => {
    await ask();
    clock.advance(12 * hour - 1000);
    await ask();
    await us.fed.keyRing.idle();
    expect(keyFetches(peer)).toBe(1);
    clock.advance(2000);
    expect(await ask()).toEqual(found());
    await us.fed.keyRing.idle();
    expect(keyFetches(peer)).toBe(2);
  });

  test('enforces valid_until_ts where it must, and not where it must not', async () => {
    await ask();
    peer.handle = (_, response) => void response.writeHead(503).end();
    clock.advance(2 * day);
    expect(await ask()).toEqual({ kind: 'unreachable' });
    expect(await ask({ at: clock.now() - 2 * day })).toEqual(found());
    expect(await ask({ enforceValidity: false })).toEqual(found());
  });

  test('trusts no key for more than 7 days, whatever the document says', async () => {
    peer.keys.validUntil = () => clock.now() + 1000 * day;
    await ask();
    expect(await ask({ at: clock.now() + 6 * day })).toEqual(found());
    expect(await ask({ at: clock.now() + 8 * day })).toEqual({ kind: 'none' });
  });

  test('takes old keys for what was signed before they were given up', async () => {
    const old = testSigningKey('old');
    peer.keys.old = [{ keyId: old.keyId, publicKey: old.key.publicKey, expiredAt: clock.now() - hour }];
    const before = { keyId: old.keyId, at: clock.now() - 2 * hour };
    expect(await ask(before)).toEqual({ kind: 'key', publicKey: Buffer.from(old.key.publicKey) });
    expect(await ask({ keyId: old.keyId })).toEqual({ kind: 'none' });
    expect(await ask({ keyId: old.keyId, enforceValidity: false })).toEqual({ kind: 'none' });
  });

  test('asks a known server again for a key that it does not know, with pauses', async () => {
    await ask();
    const { signing } = peer.keys;
    peer.keys.signing = testSigningKey('new');
    expect(await ask()).toEqual(found());
    expect(keyFetches(peer)).toBe(2);
    for (let round = 0; round < 50; round += 1) expect(await ask({ keyId: 'ed25519:never' })).toEqual({ kind: 'none' });
    const before = keyFetches(peer);
    expect(before).toBeLessThan(10);
    clock.advance(2000);
    await ask({ keyId: 'ed25519:never' });
    expect(keyFetches(peer)).toBe(before + 1);
    // What was known stays known: old events are signed with it.
    expect(await ask({ keyId: signing.keyId, at: clock.now() - hour })).toMatchObject({ kind: 'key' });
  });

  test('pauses after failures, less for who has just sent something', async () => {
    let asked = 0;
    peer.handle = (_, response) => {
      asked += 1;
      response.writeHead(404).end();
    };
    for (let round = 0; round < 10; round += 1) expect(await ask()).toEqual({ kind: 'unreachable' });
    expect(asked).toBeLessThan(7);
    for (let round = 0; round < 100; round += 1) {
      clock.advance(60_000);
      await ask();
    }
    expect(asked).toBeLessThan(30);
    const before = asked;
    clock.advance(20_000);
    await ask({ present: true });
    expect(asked).toBe(before + 1);
  });

  test.each<[string, (document: JsonObject) => JsonObject]>([
    ['names another server', (document) => ({ ...document, server_name: 'else.test' })],
    ['is not signed', ({ signatures: _signatures, ...document }) => document],
    ['was changed after signing', (document) => ({ ...document, valid_until_ts: Number(document.valid_until_ts) + 1 })],
    ['has no keys', (document) => ({ ...document, verify_keys: {} })],
    ['has no expiry', ({ valid_until_ts: _until, ...document }) => document],
    [
      'is signed wrongly by one of its keys',
      (document) => {
        const own = Object.values(document.signatures as JsonObject)[0] as JsonObject;
        const more = {
          ...document,
          verify_keys: { ...(document.verify_keys as JsonObject), 'ed25519:x': { key: 'A'.repeat(43) } },
        };
        const signed = signJson(more, peer.name, peer.keys.signing.keyId, peer.keys.signing.key);
        const signature = (signed.signatures[peer.name] as JsonObject)[peer.keys.signing.keyId];
        expect(own).toBeDefined();
        return { ...signed, signatures: { [peer.name]: { 'ed25519:x': signature } } } as JsonObject;
      },
    ],
  ])('refuses a document that %s', async (_, spoil) => {
    peer.handle = (_request, response) => sendJson(response, spoil(peer.document()));
    expect(await ask()).toEqual({ kind: 'unreachable' });
  });

  test('asks a trusted notary for the keys of a server that does not answer', async () => {
    const dead = testSigningKey('dead');
    const document = (): JsonObject =>
      writeKeyDocument({ serverName: 'dead.test', keyId: dead.keyId, key: dead.key, oldKeys: [] }, clock.now() + day);
    let notarised = (): JsonObject => signJson(document(), peer.name, peer.keys.signing.keyId, peer.keys.signing.key);
    const keysOf = peer.handle;
    peer.handle = (request, response) => {
      if (request.url !== '/_matrix/key/v2/query') return keysOf(request, response);
      expect(JSON.parse(request.body)).toMatchObject({ server_keys: { 'dead.test': { [dead.keyId]: {} } } });
      return sendJson(response, { server_keys: [notarised()] });
    };
    const wish = {
      server: 'dead.test' as KeyedPeer['name'],
      keyId: dead.keyId,
      at: clock.now(),
      enforceValidity: true,
    };
    expect(await us.fed.keyRing.key(wish)).toEqual({ kind: 'unreachable' });
    await using trusting = await startFed(network, { clock, config: { trustedKeyServers: [peer.name] } });
    expect(await trusting.fed.keyRing.key(wish)).toMatchObject({ kind: 'key' });
    // Without the notary's signature it is worth nothing.
    notarised = document;
    await using careful = await startFed(network, { clock, config: { trustedKeyServers: [peer.name] } });
    expect(await careful.fed.keyRing.key(wish)).toEqual({ kind: 'unreachable' });
  });

  test('knows our own keys without asking anyone', async () => {
    const old = testSigningKey('old');
    const expiredAt = clock.now() - hour;
    const oldSigningKeys = [
      {
        keyId: old.keyId,
        publicKey: Buffer.from(old.key.publicKey).toString('base64').replace('=', ''),
        expiredAt: new Date(expiredAt).toISOString(),
      },
    ];
    await using own = await startFed(network, { clock, config: { oldSigningKeys } });
    const { ownKeys, keyRing } = own.fed;
    const wish = { server: ownKeys.serverName, at: clock.now(), enforceValidity: true };
    expect(await keyRing.key({ ...wish, keyId: 'ed25519:own' })).toMatchObject({ kind: 'key' });
    expect(await keyRing.key({ ...wish, keyId: old.keyId })).toEqual({ kind: 'none' });
    expect(await keyRing.key({ ...wish, keyId: old.keyId, at: expiredAt })).toMatchObject({ kind: 'key' });
    const document = ownKeys.document();
    expect(Object.keys(document.verify_keys as object)).toEqual(['ed25519:own']);
    expect(document.old_verify_keys).toEqual({
      [old.keyId]: { key: oldSigningKeys[0]?.publicKey, expired_ts: expiredAt },
    });
    for (let hours = 0; hours < 30; hours += 1) {
      clock.advance(hour - 1);
      expect(Number(ownKeys.document().valid_until_ts) - clock.now()).toBeGreaterThan(hour);
    }
  });
});
