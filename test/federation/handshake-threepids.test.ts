import { randomBytes } from 'node:crypto';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { keyPairFromSeed, sign } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signedText, withSignature } from '../../src/matrix/signing.ts';
import { encodeBase64, utf8Bytes } from '../../src/util/bytes.ts';
import type { Answer, Client } from '../support/client.ts';
import { invite, joinBy, membershipBy, roomPath } from '../support/rooms-between.ts';
import { useVisited } from '../support/neighbours.ts';

const authorities = getCACertificates('default');
const key = keyPairFromSeed(randomBytes(32));

const { server, home, peer, alice, ca } = useVisited(
  { set: { 'identity.allow_networks': '["127.0.0.0/8", "::1/128"]' } },
  2,
);
beforeAll(() => setDefaultCACertificates([...authorities, ca().cert]));
afterAll(() => setDefaultCACertificates(authorities));

/** Where the identity server, which the peer plays, tells whether its key is still good. */
const validity = (): string => `https://${peer().name}/_matrix/federation/v1/isvalid/key`;

/** A room of alice's in which an invite waits for who proves an address. */
async function waitingRoom(token: string): Promise<string> {
  const roomId = await alice().createRoom({ preset: 'private_chat' });
  const publicKey = encodeBase64(key.publicKey);
  await alice().must('PUT', `${roomPath(roomId)}/state/m.room.third_party_invite/${token}`, {
    display_name: 'b…@example.org',
    public_key: publicKey,
    key_validity_url: validity(),
    public_keys: [{ public_key: publicKey, key_validity_url: validity() }],
  });
  return roomId;
}

function signed(mxid: string, token: string, by = key): JsonObject {
  const block = { mxid, token };
  return withSignature(block, 'identity.example', 'ed25519:0', sign(utf8Bytes(signedText(block)), by));
}

const exchange = (roomId: string, user: string, block: JsonObject, sender = alice().userId): Promise<Answer> =>
  peer().ask(home(), 'PUT', `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(roomId)}`, {
    ...{ type: 'm.room.member', room_id: roomId, sender, state_key: user },
    content: { membership: 'invite', third_party_invite: { display_name: 'bob', signed: block } },
  });

describe('a third-party invite that another server wants redeemed', () => {
  test('becomes an invite of its user, which that server is asked to sign', async () => {
    const roomId = await waitingRoom('t1');
    const user = peer().user('bob');
    peer().scripts.set('invite', ({ body }) => ({ event: (JSON.parse(body) as { event: object }).event }));
    expect((await exchange(roomId, user, signed(user, 't1'))).status).toBe(200);
    expect(peer().asked('invite')).toBe(1);
    expect(await membershipBy(alice(), roomId, { userId: user } as Client)).toBe('invite');
  });

  test('is refused without the signature of its identity server, for another user, token or sender', async () => {
    const roomId = await waitingRoom('t2');
    const user = peer().user('carol');
    const forged = signed(user, 't2', keyPairFromSeed(randomBytes(32)));
    expect((await exchange(roomId, user, forged)).status).toBe(403);
    expect((await exchange(roomId, user, signed(peer().user('dora'), 't2'))).status).toBe(403);
    expect((await exchange(roomId, user, signed(user, 'none'))).status).toBe(403);
    expect((await exchange(roomId, user, signed(user, 't2'), peer().user('eve'))).status).toBe(400);
    expect((await exchange('!none:elsewhere.example', user, signed(user, 't2'))).status).toBe(404);
    expect(await membershipBy(alice(), roomId, { userId: user } as Client)).toBe(404);
  });
});

test('an invite by a user of another server that waited for an address of ours is redeemed there', async () => {
  const asked: unknown[] = [];
  peer().scripts.set('exchange_third_party_invite', ({ body }) => {
    asked.push(JSON.parse(body));
    return {};
  });
  const invite = {
    ...{ medium: 'email', address: 'alice@example.org', mxid: alice().userId },
    ...{ room_id: '!far:elsewhere.example', sender: peer().user('host'), signed: signed(alice().userId, 't3') },
  };
  const body = { medium: 'email', address: 'alice@example.org', mxid: alice().userId, invites: [invite] };
  const answer = await peer().ask(home(), 'PUT', '/_matrix/federation/v1/3pid/onbind', body);
  expect([answer.status, answer.body]).toEqual([200, {}]);
  expect(asked).toEqual([
    expect.objectContaining({ state_key: alice().userId, sender: peer().user('host'), room_id: invite.room_id }),
  ]);
});

test('an invite by a user of another server into a room that ours is in is redeemed here, and sent there', async () => {
  const away = server(1);
  const [bob, carol] = [await away.user('bob'), await away.user('carol')];
  const roomId = await waitingRoom('t4');
  await invite(alice(), roomId, carol);
  expect((await joinBy(carol, roomId, [home().name])).status).toBe(200);
  const bind = async (block: JsonObject): Promise<Answer> => {
    const waiting = { mxid: bob.userId, room_id: roomId, sender: alice().userId, signed: block };
    const body = { medium: 'email', address: 'bob@example.org', mxid: bob.userId, invites: [waiting] };
    return peer().ask(away, 'POST', '/_matrix/federation/v1/3pid/onbind', body as JsonObject);
  };
  peer().scripts.set('isvalid', () => ({ valid: true }));
  const forged = signed(bob.userId, 't4', keyPairFromSeed(randomBytes(32)));
  expect((await bind(forged)).status).toBe(403);
  expect(await membershipBy(carol, roomId, bob)).toBe(404);
  expect((await bind(signed(bob.userId, 't4'))).status).toBe(200);
  expect(await membershipBy(carol, roomId, bob)).toBe('invite');
  const member = `${roomPath(roomId)}/state/m.room.member/${encodeURIComponent(bob.userId)}`;
  while ((await alice().ask('GET', member)).status !== 200) await new Promise((done) => setImmediate(done));
  expect(await alice().must('GET', `${member}?format=event`)).toMatchObject({
    sender: alice().userId,
    content: { membership: 'invite', third_party_invite: { display_name: 'b…@example.org' } },
  });
  expect((await joinBy(bob, roomId, [home().name])).status).toBe(200);
});
