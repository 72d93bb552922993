/** Device lists of ours that other servers are told of. */
import { describe, expect, test } from '@jest/globals';
import type { UserId } from '../../src/matrix/ids.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { useReceivers, recovered, tick } from '../support/sender-scene.ts';
import { alice, sharedRoom, type Receiver, type TestSender } from '../support/sender.ts';

const scene = useReceivers();
const anna = '@anna:us.test' as UserId;

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

describe('device lists', () => {
  test('a chain of changes names the one before: new, renamed, with keys, deleted', async () => {
    const server = await scene.start();
    await server.receive(sharedRoom([scene.bob]));
    const steps = [
      () => server.device('alice', 'A'),
      () => server.keys('alice', 'A'),
      () => server.db.write((tx) => void server.users.devices.rename(tx, alice, 'A', 'phone')),
      () => server.device('alice', 'B'),
      () => server.db.write((tx) => void server.users.devices.delete(tx, alice, 'A')),
    ];
    for (const [index, step] of steps.entries()) {
      await step();
      await scene.one.until(() => updates(scene.one).length === index + 1);
    }
    const sent = updates(scene.one);
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
    const server = await scene.start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([scene.bob]));
    await server.device('alice', 'A');
    await scene.one.until(() => updates(scene.one).length === 1);
    scene.one.statuses = [500];
    await server.say(room, 'x');
    await tick(server, () => scene.one.sent.length === 2);
    for (let count = 0; count < 3; count += 1) await server.keys('alice', 'A');
    await server.device('alice', 'B');
    await recovered(server, scene.one);
    await tick(server, () => updates(scene.one).length === 3);
    const [first, second, third] = updates(scene.one);
    expect([second?.device_id, third?.device_id]).toEqual(['A', 'B']);
    expect([second?.prev_id, third?.prev_id]).toEqual([[first?.stream_id], [second?.stream_id]]);
  });

  test('new cross-signing keys are told', async () => {
    const server = await scene.start();
    await server.receive(sharedRoom([scene.bob]));
    const key = Buffer.alloc(32, 7).toString('base64').replace('=', '');
    const master = { user_id: alice, usage: ['master'], keys: { [`ed25519:${key}`]: key } };
    await server.db.write((tx) => server.users.crossSigning.upload(tx, alice, { master }));
    await scene.one.until(() => scene.one.edus('m.signing_key_update').length === 1);
    expect(scene.one.edus('m.signing_key_update')).toEqual([{ user_id: alice, master_key: master }]);
    expect(updates(scene.one)).toEqual([]);
  });

  test('who joins a room makes his devices known to the servers there that he shared none with', async () => {
    const server = await scene.start();
    const first = await server.receive(sharedRoom([scene.bob], '10'));
    const second = await server.receive(sharedRoom([scene.bob, scene.carol], '11'));
    await server.device('anna', 'N');
    await server.keys('anna', 'N');
    expect(scene.one.sent).toEqual([]);
    const join = { type: 'm.room.member', stateKey: anna, sender: anna, content: { membership: 'join' } };
    await server.send(first, join);
    await scene.one.until(() => updates(scene.one).length === 1);
    expect(updates(scene.one)).toMatchObject([{ user_id: anna, device_id: 'N', prev_id: [] }]);
    expect(updates(scene.two)).toEqual([]);
    await server.send(second, join);
    await scene.two.until(() => updates(scene.two).length === 1);
    await server.say(second, 'end');
    await scene.one.until(() => scene.one.bodies().length === 1);
    expect(updates(scene.one)).toHaveLength(1);
  });

  describe('of who joins with devices that nothing can be encrypted for', () => {
    const joined = async (clock: FakeClock): Promise<TestSender> => {
      const server = await scene.start({ clock });
      const room = await server.receive(sharedRoom([scene.bob], '12'));
      await server.device('anna', 'N');
      await server.send(room, { type: 'm.room.member', stateKey: anna, sender: anna, content: { membership: 'join' } });
      await scene.one.until(() => scene.one.sent.length === 1);
      expect(updates(scene.one)).toEqual([]);
      return server;
    };

    test('are told when they have keys', async () => {
      const server = await joined(new FakeClock());
      await server.keys('anna', 'N');
      await tick(server, () => updates(scene.one).length === 1);
      expect(updates(scene.one)[0]).toMatchObject({ device_id: 'N', prev_id: [], keys: expect.any(Object) });
    });

    test('are told after a while otherwise', async () => {
      const clock = new FakeClock();
      const server = await joined(clock);
      const since = clock.now();
      await tick(server, () => updates(scene.one).length === 1);
      expect(updates(scene.one)[0]).toMatchObject({ device_id: 'N', prev_id: [] });
      expect(clock.now() - since).toBeGreaterThanOrEqual(4000);
    });

    test('are told at once after a restart', async () => {
      const server = await joined(new FakeClock());
      await server.sender[Symbol.asyncDispose]();
      await server.db.flushed();
      await scene.start({ killed: server.path });
      await scene.one.until(() => updates(scene.one).length === 1);
    });
  });

  test('INVARIANTS 19: at each step of a join and a resolution every server of the room hears of changed keys', async () => {
    const server = await scene.start();
    await server.device('alice', 'A');
    let changes = 0;
    const made = sharedRoom([scene.bob]);
    const room = await server.receive(made);
    const heard = async (peers: readonly Receiver[]): Promise<void> => {
      await server.keys('alice', 'A');
      changes += 1;
      const stream = server.read((snapshot) => server.users.deviceLists.streamId(snapshot, alice));
      for (const peer of peers) {
        await peer.until(() => updates(peer).some(({ stream_id: id }) => id === stream));
      }
    };
    await heard([scene.one]);
    const fork = made.events.at(-1)?.eventId ?? '';
    made.join(scene.carol);
    await server.receive(made);
    await heard([scene.one, scene.two]);
    const name = made.say({
      type: 'm.room.name',
      sender: scene.bob,
      stateKey: '',
      content: { name: 'x' },
      prev: [fork],
    });
    const steps = [
      () => made.join(`@ben:${scene.one.name}`, [name.eventId]),
      () => made.say({ type: 'm.room.topic', sender: scene.bob, stateKey: '', content: { topic: 'y' }, prev: [fork] }),
      () => made.message(scene.bob, 'together'),
    ];
    await server.receive(made);
    await heard([scene.one, scene.two]);
    for (const step of steps) {
      step();
      await Promise.all([server.receive(made), heard([scene.one, scene.two])]);
      await heard([scene.one, scene.two]);
    }
    expect(changes).toBe(9);
    expect(server.read((snapshot) => server.core.hostsNow(snapshot, room.nid))).toHaveLength(3);
    // Nobody was told of a change that followed one he had not been told of.
    for (const peer of [scene.one, scene.two]) {
      const chain = updates(peer);
      expect(chain.slice(1).map(({ prev_id: prev }) => prev)).toEqual(
        chain.slice(0, -1).map(({ stream_id: id }) => [id]),
      );
    }
  });
});
