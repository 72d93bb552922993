import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventId, UserId } from '../../src/matrix/ids.ts';
import { sql } from '../../src/storage/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { TestNetwork } from '../support/federation.ts';
import { alice, sharedRoom, startReceiver, startSender, type Receiver, type TestSender } from '../support/sender.ts';

let network: TestNetwork;
let one: Receiver;
let two: Receiver;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  network = new TestNetwork();
  one = stack.use(await startReceiver(network, 'one.test'));
  two = stack.use(await startReceiver(network, 'two.test'));
});
afterEach(async () => {
  await stack.disposeAsync();
});

const bob = (): UserId => `@bob:${one.name}` as UserId;
const carol = (): string => `@carol:${two.name}`;
const anna = '@anna:us.test' as UserId;
const start = async (options: Parameters<typeof startSender>[1] = {}): Promise<TestSender> =>
  stack.use(await startSender(network, options));

interface DeviceUpdate {
  readonly user_id: string;
  readonly device_id: string;
  readonly stream_id: number;
  readonly prev_id: readonly number[];
  readonly deleted?: boolean;
  readonly keys?: { readonly keys: Record<string, string> };
  readonly device_display_name?: string;
}
const updates = (peer: Receiver): DeviceUpdate[] => peer.edus('m.device_list_update') as unknown as DeviceUpdate[];

describe('typing', () => {
  test('begins and ends at the servers of the room, once each', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    server.users.typing.start(room, alice, 30_000);
    server.users.typing.start(room, alice, 30_000);
    // Who is typing elsewhere is told by his own server.
    server.users.typing.start(room, bob(), 30_000);
    await one.until(() => one.edus('m.typing').length === 1);
    server.users.typing.stop(room.nid, alice);
    await one.until(() => one.edus('m.typing').length === 2);
    const content = { room_id: room.roomId, user_id: alice };
    expect(one.edus('m.typing')).toEqual([
      { ...content, typing: true },
      { ...content, typing: false },
    ]);
    expect(two.sent).toEqual([]);
  });
});

describe('presence', () => {
  test('flows to the servers that share a room, and to one that comes to share one', async () => {
    const server = await start();
    const made = sharedRoom([bob()]);
    await server.receive(made);
    server.users.presence.set(alice, 'A', 'online', 'at work');
    await one.until(() => one.edus('m.presence').length === 1);
    expect(one.edus('m.presence')).toEqual([
      {
        push: [
          {
            user_id: alice,
            presence: 'online',
            status_msg: 'at work',
            currently_active: true,
            last_active_ago: expect.any(Number),
          },
        ],
      },
    ]);
    expect(two.sent).toEqual([]);
    made.join(carol());
    await server.receive(made);
    await two.until(() => two.edus('m.presence').length === 1);
    expect(two.edus('m.presence')).toMatchObject([{ push: [{ user_id: alice, presence: 'online' }] }]);
  });

  test('of what changed while a server was away it gets the last', async () => {
    const server = await start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([bob()]));
    one.statuses = [500];
    await server.say(room, 'hello');
    await one.until(() => one.sent.length === 1);
    for (const status of ['a', 'b', 'c']) server.users.presence.set(alice, 'A', 'online', status);
    server.users.typing.start(room, alice, 30_000);
    await recovered(server, one);
    await tick(server, () => one.edus('m.presence').length > 0);
    expect(one.edus('m.presence')).toMatchObject([{ push: [{ status_msg: 'c' }] }]);
  });
});

/** The server answers again and says so. */
async function recovered(server: TestSender, peer: Receiver): Promise<void> {
  const pausing = (): unknown =>
    server.sender.measures.find(({ name }) => name === 'neurite_federation_destinations_pausing')?.read();
  while (pausing() === 0) await turn();
  peer.statuses = [200];
  server.fed.destinations.contacted(peer.name);
  await peer.until(() => peer.sent.at(-1)?.taken === true);
}
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));
async function tick(server: TestSender, isThere: () => boolean): Promise<void> {
  while (!isThere()) {
    (server.clock as FakeClock).advance(10);
    await turn();
  }
}

describe('receipts', () => {
  test('public ones reach the servers of the room, threads apart, private ones nobody', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    const read = await server.say(room, 'read');
    await one.until(() => one.bodies().length === 1);
    const set = (type: 'm.read' | 'm.read.private', threadId: string | null): Promise<void> =>
      server.db.write((tx) => {
        server.users.receipts.set(tx, { room, user: alice, type, threadId, eventId: read.eventId as EventId, ts: 5 });
      });
    await Promise.all([set('m.read.private', null), set('m.read', null), set('m.read', 'main')]);
    await one.until(() => one.edus('m.receipt').length === 2);
    const receipt = (data: object) => ({
      [room.roomId]: { 'm.read': { [alice]: { data, event_ids: [read.eventId] } } },
    });
    expect(one.edus('m.receipt')).toEqual([receipt({ ts: 5 }), receipt({ ts: 5, thread_id: 'main' })]);
  });
});

describe('messages to devices', () => {
  const message = (messageId: string) => ({
    sender: alice,
    type: 'm.room_key',
    messageId,
    messages: { [bob()]: { '*': { key: messageId } } },
  });
  const ids = (): unknown[] => one.edus('m.direct_to_device').map((content) => content.message_id);

  test('reach their server in order, with what names them', async () => {
    const server = await start();
    for (const id of ['1', '2', '3']) {
      await server.db.write((tx) => server.sender.queueToDevice(tx, one.name, message(id)));
    }
    await one.until(() => ids().length === 3);
    expect(one.edus('m.direct_to_device')[0]).toEqual({
      sender: alice,
      type: 'm.room_key',
      message_id: '1',
      messages: { [bob()]: { '*': { key: '1' } } },
    });
    expect(ids()).toEqual(['1', '2', '3']);
  });

  test('go at most 100 at a time, and none is lost by refusals and a crash', async () => {
    const server = await start();
    one.statuses = [500];
    const all = Array.from({ length: 250 }, (_, index) => String(index));
    await server.db.write((tx) => {
      for (const id of all) server.sender.queueToDevice(tx, one.name, message(id));
    });
    await one.until(() => one.sent.length === 1);
    await server.sender[Symbol.asyncDispose]();
    await server.db.flushed();
    one.statuses = [200];
    await start({ killed: server.path });
    await one.until(() => ids().length === 250);
    expect(ids()).toEqual(all);
    expect(one.sent.map(({ edus }) => edus.length)).toEqual([100, 100, 100, 50]);
    expect(one.sent[1]).toEqual({ ...one.sent[0], taken: true });
  });

  test('wait for a server that is away in a bounded number, the newest, and not for ever', async () => {
    const clock = new FakeClock();
    const server = await start({ clock });
    const waiting = (): unknown =>
      server.read((snapshot) =>
        snapshot.get(sql<[], object>('SELECT count(*) AS count, max(position) AS newest FROM sender_to_device')),
      );
    one.statuses = [502];
    await server.db.write((tx) => {
      for (let count = 0; count < 10_200; count += 1) server.sender.queueToDevice(tx, one.name, message(String(count)));
    });
    await one.until(() => one.sent.length === 1);
    while (server.fed.destinations.failing(one.name) === undefined) await new Promise((done) => setImmediate(done));
    const before = waiting();
    expect(before).toMatchObject({ count: 10_100 });
    await server.sender.trim();
    expect(waiting()).toEqual({ ...(before as object), count: 10_000 });
    clock.advance(31 * 24 * 3_600_000);
    await server.sender.trim();
    expect(waiting()).toMatchObject({ count: 0 });
  });
});

describe('device lists', () => {
  test('a chain of changes names the one before: new, renamed, with keys, deleted', async () => {
    const server = await start();
    await server.receive(sharedRoom([bob()]));
    const steps = [
      () => server.device('alice', 'A'),
      () => server.keys('alice', 'A'),
      () => server.db.write((tx) => void server.users.devices.rename(tx, alice, 'A', 'phone')),
      () => server.device('alice', 'B'),
      () => server.db.write((tx) => void server.users.devices.delete(tx, alice, 'A')),
    ];
    for (const [index, step] of steps.entries()) {
      await step();
      await one.until(() => updates(one).length === index + 1);
    }
    const sent = updates(one);
    expect(sent.map(({ device_id: id, deleted, device_display_name: name }) => [id, deleted, name])).toEqual([
      ['A', undefined, "alice's A"],
      ['A', undefined, "alice's A"],
      ['A', undefined, 'phone'],
      ['B', undefined, "alice's B"],
      ['A', true, undefined],
    ]);
    expect(sent.map(({ keys }) => keys !== undefined)).toEqual([false, true, true, false, false]);
    expect(sent.map(({ prev_id: prev }) => prev)).toEqual([[], ...sent.slice(0, -1).map(({ stream_id: id }) => [id])]);
    expect(sent.every(({ user_id: user }) => user === alice)).toBe(true);
  });

  test('of several changes of one device a server that was away gets the last, and the chain holds', async () => {
    const server = await start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([bob()]));
    await server.device('alice', 'A');
    await one.until(() => updates(one).length === 1);
    one.statuses = [500];
    await server.say(room, 'x');
    await tick(server, () => one.sent.length === 2);
    for (let count = 0; count < 3; count += 1) await server.keys('alice', 'A');
    await server.device('alice', 'B');
    await recovered(server, one);
    await tick(server, () => updates(one).length === 3);
    const [first, second, third] = updates(one);
    expect([second?.device_id, third?.device_id]).toEqual(['A', 'B']);
    expect([second?.prev_id, third?.prev_id]).toEqual([[first?.stream_id], [second?.stream_id]]);
  });

  test('new cross-signing keys are told', async () => {
    const server = await start();
    await server.receive(sharedRoom([bob()]));
    const key = Buffer.alloc(32, 7).toString('base64').replace('=', '');
    const master = { user_id: alice, usage: ['master'], keys: { [`ed25519:${key}`]: key } };
    await server.db.write((tx) => server.users.crossSigning.upload(tx, alice, { master }));
    await one.until(() => one.edus('m.signing_key_update').length === 1);
    expect(one.edus('m.signing_key_update')).toEqual([{ user_id: alice, master_key: master }]);
    expect(updates(one)).toEqual([]);
  });

  test('who joins a room makes his devices known to the servers there that he shared none with', async () => {
    const server = await start();
    const first = await server.receive(sharedRoom([bob()], '10'));
    const second = await server.receive(sharedRoom([bob(), carol()], '11'));
    await server.device('anna', 'N');
    await server.keys('anna', 'N');
    expect(one.sent).toEqual([]);
    const join = { type: 'm.room.member', stateKey: anna, sender: anna, content: { membership: 'join' } };
    await server.send(first, join);
    await one.until(() => updates(one).length === 1);
    expect(updates(one)).toMatchObject([{ user_id: anna, device_id: 'N', prev_id: [] }]);
    expect(updates(two)).toEqual([]);
    await server.send(second, join);
    await two.until(() => updates(two).length === 1);
    await server.say(second, 'end');
    await one.until(() => one.bodies().length === 1);
    expect(updates(one)).toHaveLength(1);
  });

  test('who joins with devices that nothing can be encrypted for tells of each when it has keys', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()], '12'));
    await server.device('anna', 'N');
    await server.device('anna', 'M');
    await server.keys('anna', 'M');
    await server.send(room, { type: 'm.room.member', stateKey: anna, sender: anna, content: { membership: 'join' } });
    await one.until(() => updates(one).length === 1);
    await server.keys('anna', 'N');
    await one.until(() => updates(one).length === 2);
    const [first, second] = updates(one);
    expect([first?.device_id, second?.device_id]).toEqual(['M', 'N']);
    expect(second?.prev_id).toEqual([first?.stream_id]);
  });

  test('INVARIANTS 19: at each step of a join and a resolution every server of the room hears of changed keys', async () => {
    const server = await start();
    await server.device('alice', 'A');
    let changes = 0;
    const made = sharedRoom([bob()]);
    const room = await server.receive(made);
    const heard = async (peers: readonly Receiver[]): Promise<void> => {
      await server.keys('alice', 'A');
      changes += 1;
      const stream = server.read((snapshot) => server.users.deviceLists.streamId(snapshot, alice));
      for (const peer of peers) {
        await peer.until(() => updates(peer).some(({ stream_id: id }) => id === stream));
      }
    };
    await heard([one]);
    const fork = made.events.at(-1)?.eventId ?? '';
    made.join(carol());
    await server.receive(made);
    await heard([one, two]);
    const name = made.say({ type: 'm.room.name', sender: bob(), stateKey: '', content: { name: 'x' }, prev: [fork] });
    const steps = [
      () => made.join(`@ben:${one.name}`, [name.eventId]),
      () => made.say({ type: 'm.room.topic', sender: bob(), stateKey: '', content: { topic: 'y' }, prev: [fork] }),
      () => made.message(bob(), 'together'),
    ];
    await server.receive(made);
    await heard([one, two]);
    for (const step of steps) {
      step();
      await Promise.all([server.receive(made), heard([one, two])]);
      await heard([one, two]);
    }
    expect(changes).toBe(9);
    expect(server.read((snapshot) => server.core.hostsNow(snapshot, room.nid))).toHaveLength(3);
    // Nobody was told of a change that followed one he had not been told of.
    for (const peer of [one, two]) {
      const chain = updates(peer);
      expect(chain.slice(1).map(({ prev_id: prev }) => prev)).toEqual(
        chain.slice(0, -1).map(({ stream_id: id }) => [id]),
      );
    }
  });
});
