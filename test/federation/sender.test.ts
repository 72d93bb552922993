import { describe, expect, test } from '@jest/globals';
import { FakeClock } from '../support/fake-clock.ts';
import { alice, sharedRoom, type Receiver, type TestSender } from '../support/sender.ts';
import { turn, useReceivers } from '../support/sender-scene.ts';

const scene = useReceivers();
const measured = (server: TestSender, name: string): unknown =>
  server.sender.measures.find((measure) => measure.name === `neurite_federation_${name}`)?.read();
const membership = (target: string, value: string) => ({
  type: 'm.room.member',
  stateKey: target,
  content: { membership: value },
});

describe('transactions', () => {
  test('an event of ours reaches every server of the room, in order, signed and as it was stored', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob, scene.carol]));
    const first = await server.say(room, '0');
    for (let count = 1; count < 130; count += 1) await server.say(room, String(count));
    const all = Array.from({ length: 130 }, (_, count) => String(count));
    for (const peer of [scene.one, scene.two]) {
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
    expect(scene.one.sent[0]?.pdus[0]).toEqual(JSON.parse(stored));
    expect(JSON.parse(scene.one.sent[0]?.text ?? '')).toMatchObject({
      origin: 'us.test',
      origin_server_ts: expect.any(Number),
    });
  });

  test('a transaction that is refused or not answered comes again under its id and word for word', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    scene.one.statuses = [500, 403, 200];
    await server.say(room, 'first');
    await scene.one.until(() => scene.one.sent.length === 1);
    await server.say(room, 'second');
    await scene.one.until(() => scene.one.bodies().length === 2);
    expect(scene.one.sent.map(({ taken }) => taken)).toEqual([false, false, true, true]);
    expect(new Set(scene.one.sent.slice(0, 3).map(({ id, text }) => id + text)).size).toBe(1);
    expect(scene.one.bodies()).toEqual(['first', 'second']);
  });

  test('it stays the same word for word though its event is redacted meanwhile, and after a restart', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    scene.one.statuses = [500];
    const said = await server.say(room, 'secret');
    await scene.one.until(() => scene.one.sent.length === 1);
    await server.send(room, { type: 'm.room.redaction', content: { redacts: said.eventId }, redacts: said.eventId });
    await server.sender[Symbol.asyncDispose]();
    await server.db.flushed();
    const next = await scene.start({ killed: server.path });
    await scene.one.until(() => scene.one.sent.length === 2);
    expect(scene.one.sent[1]).toEqual(scene.one.sent[0]);
    expect(next.read(() => true)).toBe(true);
  });

  test('a server that does not answer keeps nobody waiting', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob, scene.carol]));
    const { promise, resolve } = Promise.withResolvers<undefined>();
    scene.one.before = () => promise;
    for (const body of ['a', 'b', 'c']) await server.say(room, body);
    await scene.two.until(() => scene.two.bodies().length === 3);
    expect(scene.one.bodies()).toEqual([]);
    resolve(undefined);
    await scene.one.until(() => scene.one.bodies().length === 3);
    expect(scene.one.bodies()).toEqual(['a', 'b', 'c']);
  });

  test('a server that failed is tried as soon as it contacts us', async () => {
    // Time stands still: no pause ever ends by itself.
    const server = await scene.start({ clock: new FakeClock() });
    const room = await server.receive(sharedRoom([scene.bob]));
    scene.one.statuses = [500];
    await server.say(room, 'hello');
    await scene.one.until(() => scene.one.sent.length === 1);
    while (measured(server, 'destinations_pausing') === 0) await turn();
    scene.one.statuses = [200];
    server.fed.destinations.contacted(scene.one.name);
    await scene.one.until(() => scene.one.bodies().length === 1);
    expect(scene.one.bodies()).toEqual(['hello']);
  });

  test('events of others are not ours to send, but those are that a server handed to us for the others', async () => {
    const server = await scene.start();
    const made = sharedRoom([scene.bob, scene.carol]);
    const room = await server.receive(made);
    made.message(scene.bob, 'not ours');
    await server.receive(made);
    const joined = made.join(`@ben:${scene.one.name}`);
    await server.core.input(room.roomId, [joined], 'live', { broughtBy: scene.one.name });
    await server.say(room, 'ours');
    for (const peer of [scene.one, scene.two]) await peer.until(() => peer.bodies().length === 1);
    expect(scene.one.sent.flatMap(({ pdus }) => pdus.map(({ sender }) => sender))).toEqual([alice]);
    expect(scene.two.sent.flatMap(({ pdus }) => pdus.map(({ sender }) => sender))).toEqual([
      `@ben:${scene.one.name}`,
      alice,
    ]);
  });
});

describe('INVARIANTS 21: outbound audience', () => {
  const types = (peer: Receiver): unknown[] =>
    peer.sent.flatMap(({ pdus }) => pdus.map(({ type, content }) => content.membership ?? content.body ?? type));

  test('who was in the room before an event gets it, also when he is kicked by it, and nothing after', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob, scene.carol]));
    await server.say(room, 'all');
    await server.send(room, membership(scene.carol, 'leave'));
    await server.say(room, 'without carol');
    await scene.one.until(() => types(scene.one).length === 3);
    expect(types(scene.one)).toEqual(['all', 'leave', 'without carol']);
    await scene.two.until(() => types(scene.two).length === 2);
    expect(types(scene.two)).toEqual(['all', 'leave']);
  });

  test('a server that was away gets what it was there for, not what happened before it came or after it left', async () => {
    const server = await scene.start();
    scene.two.statuses = [500];
    const made = sharedRoom([scene.bob]);
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
    await join(scene.carol, 'join');
    await server.say(room, 'with carol');
    await join(scene.carol, 'leave');
    await server.say(room, 'after');
    await scene.one.until(() => scene.one.bodies().length === 3);
    scene.two.statuses = [200];
    server.fed.destinations.contacted(scene.two.name);
    await scene.two.until(() => scene.two.bodies().length === 1);
    await server.say(room, 'and on');
    await scene.one.until(() => scene.one.bodies().length === 4);
    expect(scene.two.bodies()).toEqual(['with carol']);
  });

  test('kicks and bans and their ends reach the server of their target though it is not in the room; invites went by themselves', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    for (const value of ['invite', 'leave', 'ban', 'leave']) await server.send(room, membership(scene.carol, value));
    await server.say(room, 'not for carol');
    await scene.one.until(() => scene.one.bodies().length === 1);
    await scene.two.until(() => types(scene.two).length === 3);
    expect(types(scene.two)).toEqual(['leave', 'ban', 'leave']);
    expect(types(scene.one)).toEqual(['invite', 'leave', 'ban', 'leave', 'not for carol']);
  });
});

describe('what outlives the process', () => {
  test('what was not taken before a crash is sent after it, the transaction under way first and unchanged', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob, scene.carol]));
    const { promise, resolve } = Promise.withResolvers<undefined>();
    scene.one.before = () => promise;
    await server.say(room, 'first');
    await scene.two.until(() => scene.two.bodies().length === 1);
    await server.say(room, 'second');
    await scene.two.until(() => scene.two.bodies().length === 2);
    await server.db.flushed();
    scene.one.before = async () => undefined;
    const next = await scene.start({ killed: server.path });
    await scene.one.until(() => scene.one.bodies().length === 2);
    resolve(undefined);
    await scene.one.until(() => scene.one.sent.length >= 3);
    expect(scene.one.bodies()).toEqual(['first', 'second']);
    const first = scene.one.sent.filter(({ text }) => text.includes('"body":"first"'));
    expect(new Set(first.map(({ id, text }) => id + text)).size).toBe(1);
    expect(next.read(() => true)).toBe(true);
  });

  test('events that were on disk but told to nobody when the process ended are found by the next', async () => {
    const server = await scene.start({ started: false });
    const room = await server.receive(sharedRoom([scene.bob]));
    await server.say(room, 'written');
    await server.send(room, membership(scene.carol, 'ban'));
    expect(scene.one.sent).toEqual([]);
    await server.db.flushed();
    await scene.start({ killed: server.path });
    await scene.one.until(() => scene.one.bodies().length === 1);
    await scene.two.until(() => scene.two.sent.length === 1);
    expect(scene.two.sent[0]?.pdus.map(({ content }) => content.membership)).toEqual(['ban']);
  });
});

describe('catching up', () => {
  test('who was away longer than the outbox reaches back gets the ends of every room, those it left too', async () => {
    const server = await scene.start({ keptEvents: 2 });
    const rooms = [];
    for (const version of ['9', '10', '11'])
      rooms.push(await server.receive(sharedRoom([scene.bob, scene.carol], version)));
    scene.one.statuses = [500];
    await server.say(rooms[0] as never, 'a1');
    await scene.one.until(() => scene.one.sent.length === 1);
    for (const [index, room] of rooms.entries()) {
      for (let count = 2; count < 6; count += 1) await server.say(room, `${'abc'[index]}${count}`);
    }
    // It is thrown out of the third room, where talk goes on.
    await server.send(rooms[2] as never, membership(scene.bob, 'leave'));
    for (const body of ['c6', 'c7', 'c8']) await server.say(rooms[2] as never, body);
    await scene.two.until(() => scene.two.bodies().length === 16);
    await server.sender.trim();
    scene.one.statuses = [200];
    server.fed.destinations.contacted(scene.one.name);
    const seen = (): unknown[] =>
      scene.one.sent
        .filter(({ taken }) => taken)
        .flatMap(({ pdus }) => pdus.map(({ content }) => content.body ?? content.membership));
    await scene.one.until(() => seen().includes('leave'));
    expect(seen()).toEqual(['a1', 'a5', 'b5', 'leave']);
    await server.say(rooms[0] as never, 'on it goes');
    await scene.one.until(() => seen().includes('on it goes'));
    expect(seen()).toHaveLength(5);
  });

  test('what everybody has is not kept', async () => {
    const server = await scene.start();
    const room = await server.receive(sharedRoom([scene.bob]));
    await server.say(room, 'a');
    await scene.one.until(() => scene.one.bodies().length === 1);
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
  const server = await scene.start();
  const room = await server.receive(sharedRoom([scene.bob]));
  let letGo = (): void => undefined;
  scene.one.before = () => new Promise((done) => (letGo = done));
  await server.say(room, 'a');
  while (scene.one.load.now === 0) await turn();
  await server.say(room, 'b');
  let isThere = false;
  const delivered = server.sender.delivered(scene.one.name).then(() => (isThere = true));
  scene.one.before = async () => undefined;
  await turn();
  expect(isThere).toBe(false);
  letGo();
  await delivered;
  expect(scene.one.bodies()).toEqual(['a', 'b']);
  scene.one.statuses = [500];
  await server.say(room, 'c');
  await server.sender.delivered(scene.one.name);
  expect(scene.one.bodies()).toEqual(['a', 'b']);
});
