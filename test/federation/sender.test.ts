import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
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

const bob = (): string => `@bob:${one.name}`;
const carol = (): string => `@carol:${two.name}`;
const start = async (options: Parameters<typeof startSender>[1] = {}): Promise<TestSender> =>
  stack.use(await startSender(network, options));
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));
const measured = (server: TestSender, name: string): unknown =>
  server.sender.measures.find((measure) => measure.name === `neurite_federation_${name}`)?.read();
const membership = (target: string, value: string) => ({
  type: 'm.room.member',
  stateKey: target,
  content: { membership: value },
});

describe('transactions', () => {
  test('an event of ours reaches every server of the room, in order, signed and as it was stored', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob(), carol()]));
    const first = await server.say(room, '0');
    for (let count = 1; count < 130; count += 1) await server.say(room, String(count));
    const all = Array.from({ length: 130 }, (_, count) => String(count));
    for (const peer of [one, two]) {
      await peer.until(() => peer.bodies().length === 130);
      expect(peer.bodies()).toEqual(all);
      expect(peer.sent.every(({ pdus }) => pdus.length <= 50)).toBe(true);
      // The first goes alone and at once; what comes while it is under way or a moment later goes together.
      expect(peer.sent[0]?.pdus).toHaveLength(1);
      expect(peer.sent.length).toBeLessThan(40);
      expect(peer.load.most).toBe(1);
      expect(new Set(peer.sent.map(({ id }) => id)).size).toBe(peer.sent.length);
    }
    const stored = server.read((snapshot) => server.core.pduText(snapshot, first.nid));
    expect(one.sent[0]?.pdus[0]).toEqual(JSON.parse(stored));
    expect(JSON.parse(one.sent[0]?.text ?? '')).toMatchObject({
      origin: 'us.test',
      origin_server_ts: expect.any(Number),
    });
  });

  test('a transaction that is refused or not answered comes again under its id and word for word', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    one.statuses = [500, 403, 200];
    await server.say(room, 'first');
    await one.until(() => one.sent.length === 1);
    await server.say(room, 'second');
    await one.until(() => one.bodies().length === 2);
    expect(one.sent.map(({ taken }) => taken)).toEqual([false, false, true, true]);
    expect(new Set(one.sent.slice(0, 3).map(({ id, text }) => id + text)).size).toBe(1);
    expect(one.bodies()).toEqual(['first', 'second']);
  });

  test('it stays the same word for word though its event is redacted meanwhile, and after a restart', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    one.statuses = [500];
    const said = await server.say(room, 'secret');
    await one.until(() => one.sent.length === 1);
    await server.send(room, { type: 'm.room.redaction', content: { redacts: said.eventId }, redacts: said.eventId });
    await server.sender[Symbol.asyncDispose]();
    await server.db.flushed();
    const next = await start({ killed: server.path });
    await one.until(() => one.sent.length === 2);
    expect(one.sent[1]).toEqual(one.sent[0]);
    expect(next.read(() => true)).toBe(true);
  });

  test('a server that does not answer keeps nobody waiting', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob(), carol()]));
    const { promise, resolve } = Promise.withResolvers<undefined>();
    one.before = () => promise;
    for (const body of ['a', 'b', 'c']) await server.say(room, body);
    await two.until(() => two.bodies().length === 3);
    expect(one.bodies()).toEqual([]);
    resolve(undefined);
    await one.until(() => one.bodies().length === 3);
    expect(one.bodies()).toEqual(['a', 'b', 'c']);
  });

  test('a server that failed is tried as soon as it contacts us', async () => {
    // Time stands still: no pause ever ends by itself.
    const server = await start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([bob()]));
    one.statuses = [500];
    await server.say(room, 'hello');
    await one.until(() => one.sent.length === 1);
    while (measured(server, 'destinations_pausing') === 0) await turn();
    one.statuses = [200];
    server.fed.destinations.contacted(one.name);
    await one.until(() => one.bodies().length === 1);
    expect(one.bodies()).toEqual(['hello']);
  });

  test('events of others are not ours to send, but those are that a server handed to us for the others', async () => {
    const server = await start();
    const made = sharedRoom([bob(), carol()]);
    const room = await server.receive(made);
    made.message(bob(), 'not ours');
    await server.receive(made);
    const joined = made.join(`@ben:${one.name}`);
    await server.core.input(room.roomId, [joined], 'live', { broughtBy: one.name });
    await server.say(room, 'ours');
    for (const peer of [one, two]) await peer.until(() => peer.bodies().length === 1);
    expect(one.sent.flatMap(({ pdus }) => pdus.map(({ sender }) => sender))).toEqual([alice]);
    expect(two.sent.flatMap(({ pdus }) => pdus.map(({ sender }) => sender))).toEqual([`@ben:${one.name}`, alice]);
  });
});

describe('INVARIANTS 21: outbound audience', () => {
  const types = (peer: Receiver): unknown[] =>
    peer.sent.flatMap(({ pdus }) => pdus.map(({ type, content }) => content.membership ?? content.body ?? type));

  test('who was in the room before an event gets it, also when he is kicked by it, and nothing after', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob(), carol()]));
    await server.say(room, 'all');
    await server.send(room, membership(carol(), 'leave'));
    await server.say(room, 'without carol');
    await one.until(() => types(one).length === 3);
    expect(types(one)).toEqual(['all', 'leave', 'without carol']);
    await two.until(() => types(two).length === 2);
    expect(types(two)).toEqual(['all', 'leave']);
  });

  test('a server that was away gets what it was there for, not what happened before it came or after it left', async () => {
    const server = await start();
    two.statuses = [500];
    const made = sharedRoom([bob()]);
    const room = await server.receive(made);
    await server.say(room, 'before');
    const last = (): string =>
      server.read((snapshot) => server.core.forwardExtremities(snapshot, room.nid)[0]?.eventId ?? '');
    const join = async (who: string, value: string, sender = who): Promise<void> => {
      const known = server.read((snapshot) => {
        const nids = server.core.timelineForward(snapshot, room.nid, 0 as never, Infinity as never, 100);
        return nids.map(({ nid }) => server.core.roomEvent(snapshot, nid));
      });
      for (const event of known) if (!made.events.some(({ eventId }) => eventId === event.eventId)) made.receive(event);
      made.say({ type: 'm.room.member', sender, stateKey: who, content: { membership: value }, prev: [last()] });
      await server.core.input(room.roomId, [made.events.at(-1) as never], 'live');
    };
    await join(carol(), 'join');
    await server.say(room, 'with carol');
    await join(carol(), 'leave');
    await server.say(room, 'after');
    await one.until(() => one.bodies().length === 3);
    two.statuses = [200];
    server.fed.destinations.contacted(two.name);
    await two.until(() => two.bodies().length === 1);
    await server.say(room, 'and on');
    await one.until(() => one.bodies().length === 4);
    expect(two.bodies()).toEqual(['with carol']);
  });

  test('kicks and bans and their ends reach the server of their target though it is not in the room; invites went by themselves', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    for (const value of ['invite', 'leave', 'ban', 'leave']) await server.send(room, membership(carol(), value));
    await server.say(room, 'not for carol');
    await one.until(() => one.bodies().length === 1);
    await two.until(() => types(two).length === 3);
    expect(types(two)).toEqual(['leave', 'ban', 'leave']);
    expect(types(one)).toEqual(['invite', 'leave', 'ban', 'leave', 'not for carol']);
  });
});

describe('what outlives the process', () => {
  test('what was not taken before a crash is sent after it, the transaction under way first and unchanged', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob(), carol()]));
    const { promise, resolve } = Promise.withResolvers<undefined>();
    one.before = () => promise;
    await server.say(room, 'first');
    await two.until(() => two.bodies().length === 1);
    await server.say(room, 'second');
    await two.until(() => two.bodies().length === 2);
    await server.db.flushed();
    one.before = async () => undefined;
    const next = await start({ killed: server.path });
    await one.until(() => one.bodies().length === 2);
    resolve(undefined);
    await one.until(() => one.sent.length >= 3);
    expect(one.bodies()).toEqual(['first', 'second']);
    const first = one.sent.filter(({ text }) => text.includes('"body":"first"'));
    expect(new Set(first.map(({ id, text }) => id + text)).size).toBe(1);
    expect(next.read(() => true)).toBe(true);
  });

  test('events that were on disk but told to nobody when the process ended are found by the next', async () => {
    const server = await start({ started: false });
    const room = await server.receive(sharedRoom([bob()]));
    await server.say(room, 'written');
    await server.send(room, membership(carol(), 'ban'));
    expect(one.sent).toEqual([]);
    await server.db.flushed();
    await start({ killed: server.path });
    await one.until(() => one.bodies().length === 1);
    await two.until(() => two.sent.length === 1);
    expect(two.sent[0]?.pdus.map(({ content }) => content.membership)).toEqual(['ban']);
  });
});

describe('catching up', () => {
  test('who was away longer than the outbox reaches back gets the ends of every room, those it left too', async () => {
    const server = await start({ keptEvents: 2 });
    const rooms = [];
    for (const version of ['9', '10', '11']) rooms.push(await server.receive(sharedRoom([bob(), carol()], version)));
    one.statuses = [500];
    await server.say(rooms[0] as never, 'a1');
    await one.until(() => one.sent.length === 1);
    for (const [index, room] of rooms.entries()) {
      for (let count = 2; count < 6; count += 1) await server.say(room, `${'abc'[index]}${count}`);
    }
    // It is thrown out of the third room, where talk goes on.
    await server.send(rooms[2] as never, membership(bob(), 'leave'));
    for (const body of ['c6', 'c7', 'c8']) await server.say(rooms[2] as never, body);
    await two.until(() => two.bodies().length === 16);
    await server.sender.trim();
    one.statuses = [200];
    server.fed.destinations.contacted(one.name);
    const seen = (): unknown[] =>
      one.sent
        .filter(({ taken }) => taken)
        .flatMap(({ pdus }) => pdus.map(({ content }) => content.body ?? content.membership));
    await one.until(() => seen().includes('leave'));
    expect(seen()).toEqual(['a1', 'a5', 'b5', 'leave']);
    await server.say(rooms[0] as never, 'on it goes');
    await one.until(() => seen().includes('on it goes'));
    expect(seen()).toHaveLength(5);
  });

  test('what everybody has is not kept', async () => {
    const server = await start();
    const room = await server.receive(sharedRoom([bob()]));
    await server.say(room, 'a');
    await one.until(() => one.bodies().length === 1);
    const rows = (): number =>
      server.read((snapshot) => snapshot.all({ text: 'SELECT position FROM sender_outbox' }).length);
    const destinations = (): number =>
      server.read((snapshot) => snapshot.all({ text: 'SELECT server FROM sender_destinations' }).length);
    expect(rows()).toBe(1);
    while (measured(server, 'sent_pdus_total') === 0) await turn();
    await server.sender[Symbol.asyncDispose]();
    await server.sender.trim();
    expect([rows(), destinations()]).toEqual([0, 0]);
  });
});

test('who asks whether a server has all that waits for it is answered when it has, and at once when it does not take it', async () => {
  const server = await start();
  const room = await server.receive(sharedRoom([bob()]));
  let letGo = (): void => undefined;
  one.before = () => new Promise((done) => (letGo = done));
  await server.say(room, 'a');
  while (one.load.now === 0) await turn();
  await server.say(room, 'b');
  let isThere = false;
  const delivered = server.sender.delivered(one.name).then(() => (isThere = true));
  one.before = async () => undefined;
  await turn();
  expect(isThere).toBe(false);
  letGo();
  await delivered;
  expect(one.bodies()).toEqual(['a', 'b']);
  one.statuses = [500];
  await server.say(room, 'c');
  await server.sender.delivered(one.name);
  expect(one.bodies()).toEqual(['a', 'b']);
});
