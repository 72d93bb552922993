/** What passes and is not kept in rooms: typing, receipts, presence, messages to devices; encryption above them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until, type Person } from './person.ts';
import type { Both, Scenario } from './scenario.ts';
import type { Side } from './sides.ts';

const enc = encodeURIComponent;

async function shared(host: Side, guest: Side): Promise<{ alice: Person; bob: Person; room: string }> {
  const [alice, bob] = [await host.person('alice'), await guest.person('bob')];
  const room = await alice.createRoom({ preset: 'public_chat' });
  await bob.mustJoin(room, alice.server);
  await alice.untilMembership(room, bob.id, 'join');
  return { alice, bob, room };
}

const ephemeral = (both: Both): readonly Scenario[] => [
  ...both('typing is shown and ends', async (host, guest) => {
    const { alice, bob, room } = await shared(host, guest);
    const typists = (person: Person, wanted: readonly string[], since: string): Promise<boolean> =>
      person.awaits(
        `typing ${wanted.join()}`,
        (sync) =>
          sync.rooms?.join?.[room]?.ephemeral?.events?.some(
            ({ type, content }) => type === 'm.typing' && String(content['user_ids']) === String(wanted),
          ) || undefined,
        since,
      );
    const { next_batch } = await bob.sync();
    await alice.put(`rooms/${enc(room)}/typing/${enc(alice.id)}`, { typing: true, timeout: 20_000 });
    await typists(bob, [alice.id], next_batch);
    await alice.put(`rooms/${enc(room)}/typing/${enc(alice.id)}`, { typing: false });
    await typists(bob, [], next_batch);
  }),
  ...both('a receipt is shown', async (host, guest) => {
    const { alice, bob, room } = await shared(host, guest);
    const event = await bob.say(room, 'read this');
    await alice.untilSees(room, event);
    const { next_batch } = await bob.sync();
    await alice.post(`rooms/${enc(room)}/receipt/m.read/${enc(event)}`);
    await bob.awaits(
      'the receipt',
      (sync) =>
        sync.rooms?.join?.[room]?.ephemeral?.events?.find(
          ({ type, content }) =>
            type === 'm.receipt' &&
            (content[event] as { 'm.read'?: object } | undefined)?.['m.read'] !== undefined &&
            JSON.stringify(content[event]).includes(alice.id),
        ),
      next_batch,
    );
  }),
  ...both('presence is shown', async (host, guest) => {
    const { alice, bob } = await shared(host, guest);
    const { next_batch } = await bob.sync();
    await alice.put(`presence/${enc(alice.id)}/status`, { presence: 'online', status_msg: 'Watching' });
    await bob.awaits(
      'the presence',
      (sync) =>
        sync.presence?.events?.find(
          ({ sender, content }) => sender === alice.id && content['status_msg'] === 'Watching',
        ),
      next_batch,
    );
  }),
  ...both('a message to a device arrives once', async (host, guest) => {
    const { alice, bob } = await shared(host, guest);
    await alice.put(`sendToDevice/org.example.hello/${alice.id.length}-${Date.now()}`, {
      messages: { [bob.id]: { '*': { hello: 'there' } } },
    });
    let since: string | undefined;
    const found = await until('the message', async () => {
      const sync = await bob.sync(since, 500);
      since = sync.next_batch;
      const mine = sync.to_device?.events?.filter(({ type }) => type === 'org.example.hello') ?? [];
      return mine.length > 0 && mine;
    });
    assert.deepEqual(found, [{ sender: alice.id, type: 'org.example.hello', content: { hello: 'there' } }]);
    assert.deepEqual((await bob.sync(since)).to_device?.events ?? [], []);
  }),
  ...both('a new device is told of', async (host, guest) => {
    const { alice, bob } = await shared(host, guest);
    const { next_batch } = await bob.sync();
    const keys = {
      user_id: alice.id,
      device_id: 'FIXED',
      algorithms: ['m.olm.v1.curve25519-aes-sha2'],
      keys: { 'ed25519:FIXED': 'fakekey', 'curve25519:FIXED': 'fakekey' },
      signatures: {},
    };
    const name = alice.id.slice(1).split(':')[0];
    const session = await alice.post('login', {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: name },
      password: 'a password for tests',
      device_id: 'FIXED',
    });
    const uploaded = await fetch(`${alice.baseUrl}/_matrix/client/v3/keys/upload`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${String(session['access_token'])}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ device_keys: keys }),
    });
    assert.equal(uploaded.status, 200, await uploaded.text());
    await bob.awaits('the change', (sync) => sync.device_lists?.changed?.includes(alice.id) || undefined, next_batch);
    await until('the keys', async () => {
      const reply = await bob.post('keys/query', { device_keys: { [alice.id]: [] } });
      return JSON.stringify(reply['device_keys']).includes('curve25519:FIXED');
    });
  }),
];

/** Two js-sdk clients, in a process of their own. */
const encryption = (both: Both): readonly Scenario[] =>
  both('encrypted messages are read by every device, new ones too', async (host, guest) => {
    const script = join(import.meta.dirname, 'encryption.mjs');
    const child = spawn(process.execPath, [script, host.baseUrl, guest.baseUrl, host.name], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [status] = (await once(child, 'close')) as [number | null];
    assert.equal(status, 0, output.slice(-3000));
  });

export const passingScenarios = (both: Both): readonly Scenario[] => [...ephemeral(both), ...encryption(both)];
