/** Policy servers (S-S API v1.19 §Policy Servers): check 7 for events of others, signatures for our own. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { keyPairFromSeed, sign } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { type Pdu, type RoomEvent, signedPduText } from '../../src/matrix/pdu.ts';
import type { Room, StoredEvent } from '../../src/roomserver/index.ts';
import { encodeBase64, utf8Bytes } from '../../src/util/bytes.ts';
import { alice, type IntakeWorld, startIntake } from '../support/intake.ts';
import { type RoomPeer } from '../support/room-peer.ts';
import type { SignedRoom } from '../support/room-builder.ts';

const policyKey = keyPairFromSeed(new Uint8Array(32).fill(3));

let world: IntakeWorld;
let peer: RoomPeer;
let police: RoomPeer;
let room: SignedRoom;
let pat: string;
beforeEach(async () => {
  world = await startIntake();
  ({ peer, room, pat } = await world.peerWithRoom());
  police = await world.peer('police.test');
  police.scripts.set('sign', ({ body }) => signed(JSON.parse(body) as Pdu));
});
afterEach(async () => {
  await police[Symbol.asyncDispose]();
  await peer[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const signatureOf = (pdu: Pdu): string => encodeBase64(sign(utf8Bytes(signedPduText(pdu, room.rules)), policyKey));
const signed = (pdu: Pdu): JsonObject => ({ [police.name]: { 'ed25519:policy_server': signatureOf(pdu) } });
const askedToSign = (): number => police.peer.requests.filter(({ url }) => url === '/_matrix/policy/v1/sign').length;

/** The room has the policy server from now on. */
async function usePolicy(publicKey = encodeBase64(policyKey.publicKey)): Promise<void> {
  room.join(police.user('officer'));
  const content = { via: police.name, public_keys: { ed25519: publicKey } };
  room.say({ type: 'm.room.policy', sender: pat, stateKey: '', content });
  await world.take(room);
}
const receive = async (event: RoomEvent): Promise<string> => {
  expect((await world.send(peer.name, [event])).json.pdus).toEqual({ [event.eventId]: {} });
  return world.verdict(event.eventId);
};
function here(): Room {
  const found = world.rooms.read((snapshot) => world.rooms.core.room(snapshot, room.roomId));
  if (found === undefined) throw new Error('no room');
  return found;
}
const say = (body: string): Promise<StoredEvent> =>
  world.rooms.send(here(), { type: 'm.room.message', sender: alice, content: { body } });
const pduOf = (event: StoredEvent): Pdu =>
  JSON.parse(world.rooms.read((snapshot) => world.rooms.core.pduText(snapshot, event.nid))) as Pdu;

describe('an event of another server', () => {
  test('with the signature of the policy server is taken without asking', async () => {
    await usePolicy();
    const event = room.message(pat, 'fine');
    const signatures = { ...(event.pdu['signatures'] as JsonObject), ...signed(event.pdu) };
    expect(await receive({ ...event, pdu: { ...event.pdu, signatures } })).toBe('accepted');
    expect(askedToSign()).toBe(0);
  });

  test('without it is taken when the policy server signs it now, and carries the signature from then on', async () => {
    await usePolicy();
    const event = room.message(pat, 'fine');
    expect(await receive(event)).toBe('accepted');
    expect(askedToSign()).toBe(1);
    const stored = world.rooms.read((snapshot) => world.rooms.core.eventById(snapshot, event.eventId));
    const { signatures } = pduOf(stored as StoredEvent);
    expect(signatures).toEqual({ ...(event.pdu['signatures'] as JsonObject), ...signed(event.pdu) });
  });

  test('is soft-failed when the policy server refuses, signs wrongly or does not answer', async () => {
    await usePolicy();
    const answers = [
      () => undefined,
      () => ({ [police.name]: { 'ed25519:policy_server': 'AAAA' } }),
      (_request: unknown, _url: unknown, response: { destroy(): unknown }) => void response.destroy(),
    ];
    for (const [index, answer] of answers.entries()) {
      police.scripts.set('sign', answer as never);
      expect(await receive(room.message(pat, String(index)))).toBe('soft-failed');
    }
    expect(world.verify()).toEqual([]);
  });

  test('needs nothing of a policy server without a user in the room, or without a valid key', async () => {
    const content = { via: police.name, public_keys: { ed25519: encodeBase64(policyKey.publicKey) } };
    room.say({ type: 'm.room.policy', sender: pat, stateKey: '', content });
    await world.take(room);
    expect(await receive(room.message(pat, 'nobody there'))).toBe('accepted');
    await usePolicy('AAAA');
    expect(await receive(room.message(pat, 'no key'))).toBe('accepted');
    expect(askedToSign()).toBe(0);
  });

  test('that sets the policy itself is not asked about', async () => {
    await usePolicy();
    expect(await receive(room.say({ type: 'm.room.policy', sender: pat, stateKey: '', content: {} }))).toBe('accepted');
    expect(askedToSign()).toBe(0);
  });
});

describe('an event of our own', () => {
  test('is signed by the policy server before it is sent', async () => {
    await usePolicy();
    const event = await say('mine');
    expect(pduOf(event).signatures).toMatchObject(signed(pduOf(event)));
    expect(Object.keys(pduOf(event).signatures as JsonObject).sort()).toEqual([police.name, 'us.test']);
    expect(askedToSign()).toBe(1);
  });

  test('is refused with the policy server’s own error, and may be tried again', async () => {
    await usePolicy();
    police.scripts.set('sign', (_request, _url, response) => {
      response.writeHead(400, { 'Content-Type': 'application/json' });
      response.end('{"errcode":"M_FORBIDDEN","error":"this looks like spam"}');
    });
    await expect(say('mine')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN', message: 'this looks like spam' });
    police.scripts.set('sign', ({ body }) => signed(JSON.parse(body) as Pdu));
    const event = await say('mine');
    expect(world.timeline(room).at(-1)).toBe(event.eventId);
  });

  test('that others overtake while the policy server thinks is asked about anew', async () => {
    await usePolicy();
    let asked = 0;
    police.scripts.set('sign', async ({ body }) => {
      asked += 1;
      if (asked === 1) await world.take(overtaking());
      return signed(JSON.parse(body) as Pdu);
    });
    const overtaking = (): SignedRoom => {
      room.message(pat, 'first');
      return room;
    };
    const event = await say('mine');
    expect(asked).toBe(2);
    expect(pduOf(event).prev_events).toEqual([room.events.at(-1)?.eventId]);
    expect(world.verify()).toEqual([]);
  });
});
