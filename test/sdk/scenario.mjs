/**
 * A day in the life of two users with matrix-js-sdk and its Rust crypto: `node scenario.mjs BASE_URL`. Prints a JSON
 * line per step and exits 0, or prints the error and exits 1. It runs against any homeserver with open registration.
 */
import { EventType, RelationType } from 'matrix-js-sdk';
import { VerificationPhase, VerifierEvent } from 'matrix-js-sdk/lib/crypto-api/index.js';
import { CryptoEvent } from 'matrix-js-sdk/lib/crypto-api/CryptoEvent.js';
import { login, register, start, step, texts, until } from './support.mjs';

const baseUrl = process.argv[2];
const password = 'correct horse battery staple';
const suffix = process.argv[3] ?? Date.now().toString(36);
const names = { alice: `alice${suffix}`, bob: `bob${suffix}` };
const aliceSecrets = {};
const bobSecrets = {};

/** Both sides compare the short authentication string and confirm it. */
async function verifyBySas(requester, request, responder, incoming) {
  await incoming.accept();
  await until('the request to be ready', () => request.phase === VerificationPhase.Ready);
  const verifier = await request.startVerification('m.sas.v1');
  const shown = {};
  const watch = (name, one) => {
    const take = async (sas) => {
      shown[name] = { sas, decimals: sas.sas.decimal?.join() };
    };
    one.on(VerifierEvent.ShowSas, take);
    const now = one.getShowSasCallbacks?.();
    if (now) void take(now);
  };
  watch('requester', verifier);
  const other = await until('the other verifier', () => incoming.verifier);
  watch('responder', other);
  const ended = [verifier.verify(), other.verify()];
  await until('both short authentication strings', () => shown.requester && shown.responder);
  if (shown.requester.decimals !== shown.responder.decimals) throw new Error('the authentication strings differ');
  await Promise.all([shown.requester.sas.confirm(), shown.responder.sas.confirm()]);
  await Promise.all(ended);
}

const nextRequest = (client) => new Promise((resolve) => client.once(CryptoEvent.VerificationRequestReceived, resolve));

async function bootstrap(client, secrets) {
  const crypto = client.getCrypto();
  const authUploadDeviceSigningKeys = (request) =>
    request({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: client.getUserId() },
      password,
    });
  await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys });
  const recovery = await crypto.createRecoveryKeyFromPassphrase();
  secrets.key = recovery.privateKey;
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => recovery,
    setupNewSecretStorage: true,
    setupNewKeyBackup: true,
  });
}

const alice = await step('register and start alice', async () =>
  start(baseUrl, await register(baseUrl, names.alice, password), aliceSecrets),
);
const bob = await step('register and start bob', async () =>
  start(baseUrl, await register(baseUrl, names.bob, password), bobSecrets),
);
await step('cross-sign alice', () => bootstrap(alice, aliceSecrets));
await step('cross-sign bob', () => bootstrap(bob, bobSecrets));

const phone = await step("alice's second device logs in", async () => {
  const session = await login(baseUrl, names.alice, password);
  return start(baseUrl, session, {});
});
await step('alice verifies her second device by SAS', async () => {
  const incoming = nextRequest(alice);
  const request = await phone.getCrypto().requestOwnUserVerification();
  await verifyBySas(phone, request, alice, await incoming);
  await until(
    'the second device to be cross-signed',
    async () =>
      (await alice.getCrypto().getDeviceVerificationStatus(alice.getUserId(), phone.getDeviceId()))
        ?.crossSigningVerified,
  );
});

const roomId = await step('alice creates an encrypted room, bob joins', async () => {
  const { room_id } = await alice.createRoom({
    name: 'Secrets',
    invite: [bob.getUserId()],
    is_direct: true,
    initial_state: [{ type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }],
  });
  await until("bob's invite", () => bob.getRoom(room_id)?.getMyMembership() === 'invite');
  await bob.joinRoom(room_id);
  await until('bob in the room', () => alice.getRoom(room_id)?.getMember(bob.getUserId())?.membership === 'join');
  await until('the room on all devices', () => [alice, bob, phone].every((one) => one.getRoom(room_id)));
  await until('encryption known to all', async () => {
    const known = await Promise.all(
      [alice, bob, phone].map((one) => one.getCrypto().isEncryptionEnabledInRoom(room_id)),
    );
    return known.every(Boolean);
  });
  return room_id;
});

await step('alice and bob verify each other by SAS', async () => {
  const incoming = nextRequest(bob);
  const request = await alice.getCrypto().requestVerificationDM(bob.getUserId(), roomId);
  await verifyBySas(alice, request, bob, await incoming);
  await until('bob to be verified', async () =>
    (await alice.getCrypto().getUserVerificationStatus(bob.getUserId())).isCrossSigningVerified(),
  );
});

await step('encrypted messages in both directions reach every device', async () => {
  await alice.sendTextMessage(roomId, 'hello bob');
  await until('all to read alice', () => [alice, bob, phone].every((one) => texts(one, roomId).includes('hello bob')));
  await bob.sendTextMessage(roomId, 'hello alice');
  await until('all to read bob', () => [alice, bob, phone].every((one) => texts(one, roomId).includes('hello alice')));
  await phone.sendTextMessage(roomId, 'from the phone');
  await until('all to read the phone', () =>
    [alice, bob, phone].every((one) => texts(one, roomId).includes('from the phone')),
  );
});

await step('the rooms in common are asked for', async () => {
  const shared = await alice._unstable_getSharedRooms(bob.getUserId());
  if (!shared.includes(roomId)) throw new Error(`${roomId} is not among ${shared.join()}`);
});

await step('keys are backed up and restored on a new device', async () => {
  const backup = () => alice.http.authedRequest('GET', '/room_keys/version');
  await until('the backup to hold keys', async () => (await backup()).count >= 3, 60_000);
  const session = await login(baseUrl, names.alice, password);
  const tablet = await start(baseUrl, session, { key: aliceSecrets.key });
  const crypto = tablet.getCrypto();
  await until('her own identity on the new device', () => crypto.userHasCrossSigningKeys(tablet.getUserId(), true));
  await crypto.bootstrapCrossSigning({});
  await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  await crypto.checkKeyBackupAndEnable();
  const restored = await crypto.restoreKeyBackup();
  if (restored.imported < 3) throw new Error(`only ${restored.imported} keys restored`);
  await until('the new device to read the history', () => texts(tablet, roomId).includes('hello bob'));
  await tablet.logout(true);
});

const plainId = await step('a public room with many messages', async () => {
  const { room_id } = await alice.createRoom({ preset: 'public_chat', name: 'Plain', topic: 'history' });
  await bob.joinRoom(room_id);
  for (let number = 1; number <= 45; number += 1) await alice.sendTextMessage(room_id, `message ${number}`);
  await until('bob to see the last one', () => texts(bob, room_id).includes('message 45'));
  return room_id;
});

const findEvent = (client, body) =>
  client
    .getRoom(plainId)
    .getLiveTimeline()
    .getEvents()
    .find((event) => event.getContent().body === body);

await step('edit, react, thread, redact', async () => {
  const target = findEvent(bob, 'message 45').getId();
  await alice.sendMessage(plainId, {
    msgtype: 'm.text',
    body: '* message forty-five',
    'm.new_content': { msgtype: 'm.text', body: 'message forty-five' },
    'm.relates_to': { rel_type: RelationType.Replace, event_id: target },
  });
  await until('bob to see the edit', () => findEvent(bob, 'message forty-five')?.getId() === target);
  await bob.sendEvent(plainId, EventType.Reaction, {
    'm.relates_to': { rel_type: RelationType.Annotation, event_id: target, key: '👍' },
  });
  const room = alice.getRoom(plainId);
  await until(
    'alice to see the reaction',
    () =>
      room.relations.getChildEventsForEvent(target, RelationType.Annotation, EventType.Reaction)?.getRelations().length,
  );
  const reply = await bob.sendMessage(plainId, target, { msgtype: 'm.text', body: 'in a thread' });
  await until('alice to see the thread', () => room.getThread(target)?.length === 1);
  const fetched = await alice.fetchRoomEvent(plainId, target);
  if (fetched.unsigned?.['m.relations']?.['m.thread']?.count !== 1) throw new Error('no bundled thread');
  const victim = findEvent(bob, 'message 44').getId();
  await alice.redactEvent(plainId, victim, undefined, { reason: 'test' });
  await until('bob to see the redaction', () => bob.getRoom(plainId).findEventById(victim)?.isRedacted());
  await bob.redactEvent(plainId, reply.event_id);
  await until('the thread to be empty again', async () => {
    const again = await alice.fetchRoomEvent(plainId, target);
    return again.unsigned?.['m.relations']?.['m.thread'] === undefined;
  });
});

await step('a new device of bob paginates to the start of the room', async () => {
  const reader = await start(baseUrl, await login(baseUrl, names.bob, password), {});
  const timeline = (await until('the room', () => reader.getRoom(plainId))).getLiveTimeline();
  if (timeline.getEvents().length > 20) throw new Error('the initial sync ignored its limit');
  while (await reader.paginateEventTimeline(timeline, { backwards: true, limit: 10 }));
  const events = timeline.getEvents();
  if (events[0].getType() !== 'm.room.create') throw new Error(`the history starts with ${events[0].getType()}`);
  const ids = new Set(events.map((event) => event.getId()));
  if (ids.size !== events.length) throw new Error('an event came twice');
  const bodies = events.map((event) => event.getContent().body);
  for (let number = 1; number <= 43; number += 1) {
    if (!bodies.includes(`message ${number}`)) throw new Error(`message ${number} is missing`);
  }
  await reader.logout(true);
});

await step('receipts, typing and unread counts', async () => {
  const event = await alice.sendTextMessage(plainId, `ping ${bob.getUserId()}`);
  await until('bob to have something unread', () => bob.getRoom(plainId).getUnreadNotificationCount() > 0);
  await until('bob to have the event', () => bob.getRoom(plainId).findEventById(event.event_id));
  await bob.sendReadReceipt(bob.getRoom(plainId).findEventById(event.event_id));
  await until("alice to see bob's receipt", () =>
    alice.getRoom(plainId).hasUserReadEvent(bob.getUserId(), event.event_id),
  );
  await until('nothing unread', () => bob.getRoom(plainId).getUnreadNotificationCount() === 0);
  await bob.sendTyping(plainId, true, 10_000);
  await until('alice to see bob typing', () => alice.getRoom(plainId).getMember(bob.getUserId())?.typing);
});

await step('upgrade a room', async () => {
  const { replacement_room } = await alice.upgradeRoom(plainId, '12');
  await until('the new room', () => alice.getRoom(replacement_room));
  await until(
    'the tombstone at bob',
    () => bob.getRoom(plainId).currentState.getStateEvents('m.room.tombstone', '')?.getContent().replacement_room,
  );
  await bob.joinRoom(replacement_room);
  await until('bob in the new room', () => bob.getRoom(replacement_room)?.getMyMembership() === 'join');
});

await step('bob logs out and in again', async () => {
  await bob.logout(true);
  const session = await login(baseUrl, names.bob, password);
  const again = await start(baseUrl, session, { key: bobSecrets.key });
  await until('his rooms', () => again.getRoom(roomId) && again.getRoom(plainId));
  again.stopClient();
});

alice.stopClient();
phone.stopClient();
process.exit(0);
