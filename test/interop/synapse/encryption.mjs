/**
 * Two people of two servers with matrix-js-sdk and its Rust crypto: `encryption.mjs HOST_URL GUEST_URL HOST_NAME`. Prints
 * a line per step; exits 1 with the fault.
 */
import { login, register, start, step, texts, until } from '../../sdk/support.mjs';

const [hostUrl, guestUrl, hostName] = process.argv.slice(2);
const password = 'correct horse battery staple';
const suffix = Date.now().toString(36);
const [aliceName, bobName] = [`alice${suffix}`, `bob${suffix}`];

const alice = await step('alice starts', async () => start(hostUrl, await register(hostUrl, aliceName, password), {}));
const bob = await step('bob starts', async () => start(guestUrl, await register(guestUrl, bobName, password), {}));

const room = await step('an encrypted room, bob joins', async () => {
  const { room_id } = await alice.createRoom({
    invite: [bob.getUserId()],
    initial_state: [{ type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }],
  });
  await until("bob's invite", () => bob.getRoom(room_id)?.getMyMembership() === 'invite');
  await bob.joinRoom(room_id, { viaServers: [hostName] });
  await until('bob in the room', () => alice.getRoom(room_id)?.getMember(bob.getUserId())?.membership === 'join');
  await until('encryption known to both', async () => {
    const known = await Promise.all([alice, bob].map((one) => one.getCrypto().isEncryptionEnabledInRoom(room_id)));
    return known.every(Boolean);
  });
  return room_id;
});

/** One says it, all of them read it. */
const say = async (sender, text, readers) => {
  await sender.sendTextMessage(room, text);
  await until(`all to read "${text}"`, () => readers.every((one) => texts(one, room).includes(text)));
};

/** A further device, once the other person's client knows of it. */
const another = async (url, name, owner, other) => {
  const device = await start(url, await login(url, name, password), {});
  await until('the new device to be known', async () => {
    const devices = await other.getCrypto().getUserDeviceInfo([owner.getUserId()], true);
    return devices.get(owner.getUserId())?.has(device.getDeviceId());
  });
  await until('the room on the new device', () => device.getRoom(room));
  return device;
};

await step('both read each other', async () => {
  await say(alice, 'from alice', [alice, bob]);
  await say(bob, 'from bob', [alice, bob]);
});
const bobs = await step("bob's second device", () => another(guestUrl, bobName, bob, alice));
await step('it reads what alice says next', () => say(alice, 'to both of bob', [alice, bob, bobs]));
const alices = await step("alice's second device", () => another(hostUrl, aliceName, alice, bob));
await step('it reads what bob says next', () => say(bob, 'to both of alice', [alice, alices, bob, bobs]));
await step('a device that logs out is forgotten', async () => {
  const id = bobs.getDeviceId();
  await bobs.logout(true);
  await until('the device to be gone', async () => {
    const devices = await alice.getCrypto().getUserDeviceInfo([bob.getUserId()], true);
    return !devices.get(bob.getUserId())?.has(id);
  });
});
for (const client of [alice, alices, bob]) client.stopClient();
process.exit(0);
