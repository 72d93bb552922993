import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { SigningKey } from '../../src/fedclient/index.ts';
import { buildEvent, signEvent } from '../../src/matrix/event-builder.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { toRoomEvent, type Pdu, type RoomEvent } from '../../src/matrix/pdu.ts';
import { rulesOfVersion, type RoomVersionRules } from '../../src/matrix/room-versions.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  keyFetches,
  startFed,
  startKeyedPeer,
  testSigningKey,
  TestNetwork,
  type KeyedPeer,
  type TestFed,
} from '../support/federation.ts';

const hour = 3_600_000;
const rulesOf = (version: string): RoomVersionRules => {
  const rules = rulesOfVersion(version);
  if (rules === undefined) throw new Error('no such version');
  return rules;
};

let network: TestNetwork;
let clock: FakeClock;
let peer: KeyedPeer;
let other: KeyedPeer;
let us: TestFed;

beforeEach(async () => {
  network = new TestNetwork();
  clock = new FakeClock();
  peer = await startKeyedPeer(network, 'peer.test');
  other = await startKeyedPeer(network, 'other.test');
  for (const server of [peer, other]) server.keys.validUntil = () => clock.now() + 24 * hour;
  us = await startFed(network, { clock });
});
afterEach(async () => {
  await us[Symbol.asyncDispose]();
  await peer[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

interface Draft {
  readonly version?: string;
  readonly sender?: string;
  readonly type?: string;
  readonly stateKey?: string;
  readonly content?: JsonObject;
  readonly at?: number;
  readonly serverName?: ServerName;
  readonly key?: SigningKey;
}

function make(draft: Draft = {}): RoomEvent {
  const { version = '10', type = 'm.room.message', content = { body: 'x' }, at = clock.now() } = draft;
  const { keyId, key } = draft.key ?? peer.keys.signing;
  return buildEvent({
    rules: rulesOf(version),
    serverName: draft.serverName ?? peer.name,
    keyId,
    key,
    proto: {
      type,
      state_key: draft.stateKey,
      content,
      sender: draft.sender ?? `@u:${peer.name}`,
      room_id: '!room:peer.test',
    },
    prevEvents: [],
    authEvents: [],
    depth: 1,
    originServerTs: at,
  });
}

/** The event with one more signature. */
function countersigned(event: RoomEvent, signer: ServerName, { keyId, key }: SigningKey, version = '10'): RoomEvent {
  return signEvent(event, rulesOf(version), { serverName: signer, keyId, key });
}

const verdict = async (event: RoomEvent, version = '10') => {
  const [first] = await us.fed.verifyEvents([event], rulesOf(version));
  return first?.ok === true ? 'good' : first?.transient === true ? 'unknown' : 'bad';
};

describe('signatures of events', () => {
  test.each(['1', '3', '6', '10', '11', '12'])('of their senders are accepted in room version %s', async (version) => {
    const roomVersion =
      version === '12' ? { type: 'm.room.create', stateKey: '', content: { room_version: '12' } } : {};
    expect(await verdict(make({ version, ...roomVersion }), version)).toBe('good');
  });

  test('are verified for many events at a time, with one fetch of keys, each verdict in its place', async () => {
    const events = Array.from({ length: 600 }, (_, index) =>
      make({ content: { body: String(index) }, at: clock.now() - index }),
    );
    const spoiled = new Set([0, 17, 250, 599]);
    const mixed = events.map((event, index) =>
      spoiled.has(index) ? toRoomEvent({ ...event.pdu, depth: 2 } as Pdu, rulesOf('10')) : event,
    );
    const verdicts = await us.fed.verifyEvents(mixed, rulesOf('10'));
    expect(verdicts.flatMap(({ ok }, index) => (ok ? [] : [index]))).toEqual([...spoiled]);
    expect(keyFetches(peer)).toBe(1);
  });

  test('survive a redaction of the event', async () => {
    const event = make();
    const redacted = toRoomEvent({ ...event.pdu, content: {} } as Pdu, rulesOf('10'), event.eventId);
    expect(await verdict(redacted)).toBe('good');
  });

  test('of others do not stand in for the sender', async () => {
    const event = make({ sender: `@u:${other.name}` });
    expect(await verdict(event)).toBe('bad');
    expect(await verdict(countersigned(event, other.name, other.keys.signing))).toBe('good');
  });

  test('with keys that nobody publishes are skipped, but one must be left', async () => {
    const unknown = testSigningKey('unknown');
    expect(await verdict(countersigned(make(), peer.name, unknown))).toBe('good');
    expect(await verdict(make({ key: unknown }))).toBe('bad');
  });

  test('must all be right that are made with known keys', async () => {
    const second = testSigningKey('second');
    peer.keys.old = [{ keyId: second.keyId, publicKey: second.key.publicKey, expiredAt: clock.now() + hour }];
    expect(await verdict(countersigned(make(), peer.name, second))).toBe('good');
    const forged = { ...testSigningKey('x'), keyId: second.keyId };
    expect(await verdict(countersigned(make(), peer.name, forged))).toBe('bad');
  });

  test('with the key of a policy server are skipped without asking anyone', async () => {
    const event = countersigned(make(), peer.name, testSigningKey('policy_server'));
    expect(await verdict(event)).toBe('good');
    expect(keyFetches(peer)).toBe(1);
  });

  test('count for as long as their keys are valid, from room version 5 on', async () => {
    const late = { at: clock.now() + 48 * hour };
    expect(await verdict(make({ ...late, version: '5' }), '5')).toBe('bad');
    expect(await verdict(make({ ...late, version: '4' }), '4')).toBe('good');
  });

  test('are undecided while the keys cannot be fetched', async () => {
    peer.handle = (_, response) => void response.writeHead(502).end();
    expect(await verdict(make())).toBe('unknown');
  });

  test('of the server in the event id are needed in room versions 1 and 2', async () => {
    const event = make({ version: '1' });
    const pdu = { ...event.pdu, event_id: `$x:${other.name}` } as Pdu;
    const moved = toRoomEvent({ ...pdu, signatures: {} } as Pdu, rulesOf('1'));
    const bySender = countersigned(moved, peer.name, peer.keys.signing, '1');
    expect(await verdict(bySender, '1')).toBe('bad');
    expect(await verdict(countersigned(bySender, other.name, other.keys.signing, '1'), '1')).toBe('good');
  });

  test('of the server that authorised a restricted join are needed, from room version 8 on', async () => {
    const content = { membership: 'join', join_authorised_via_users_server: `@a:${other.name}` };
    const join = { type: 'm.room.member', stateKey: `@u:${peer.name}`, content };
    expect(await verdict(make(join))).toBe('bad');
    expect(await verdict(countersigned(make(join), other.name, other.keys.signing))).toBe('good');
    expect(await verdict(make({ ...join, version: '7' }), '7')).toBe('good');
    const without = { ...content, join_authorised_via_users_server: 'nonsense' };
    expect(await verdict(make({ ...join, content: without }))).toBe('bad');
  });

  test('of the sender are not needed on a third-party invite, but one is', async () => {
    const content = { membership: 'invite', third_party_invite: { signed: {} } };
    const invite = { type: 'm.room.member', stateKey: '@z:us.test', content, sender: `@u:${other.name}` };
    expect(await verdict(make(invite))).toBe('good');
    const unsigned = make(invite);
    expect(await verdict(toRoomEvent({ ...unsigned.pdu, signatures: {} } as Pdu, rulesOf('10')))).toBe('bad');
  });
});
