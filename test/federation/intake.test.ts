/** Transactions of another server and what becomes of their events (S-S API v1.19 §Transactions, §PDUs). */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RoomId, UserId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { alice, type IntakeWorld, startIntake, until } from '../support/intake.ts';
import { hang, type RoomPeer } from '../support/room-peer.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { roomIdOf } from '../support/room-core.ts';

let world: IntakeWorld;
let peer: RoomPeer;
let room: SignedRoom;
let pat: string;
let heard: { origin: string; edus: readonly unknown[] }[];
beforeEach(async () => {
  heard = [];
  const edus = {
    handle: async (origin: string, list: readonly unknown[]): Promise<void> => void heard.push({ origin, edus: list }),
  };
  world = await startIntake({ edus });
  ({ peer, room, pat } = await world.peerWithRoom());
});
afterEach(async () => {
  await peer[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const textOf = (event: RoomEvent): string => JSON.stringify(event.pdu);

describe('a transaction', () => {
  test('is answered with what became of each event, which stands in the timeline by then', async () => {
    const [one, two] = [room.message(pat, 'one'), room.message(pat, 'two')];
    const { status, json } = await world.send(peer.name, [one, two]);
    expect([status, json]).toEqual([200, { pdus: { [one.eventId]: {}, [two.eventId]: {} } }]);
    expect(world.timeline(room).slice(-2)).toEqual([one.eventId, two.eventId]);
    expect(world.staged()).toBe(0);
    expect(world.verify()).toEqual([]);
  });

  test('takes its events in any order', async () => {
    const sent = ['one', 'two', 'three', 'four'].map((body) => room.message(pat, body));
    await world.send(peer.name, sent.toReversed());
    expect(world.timeline(room).slice(-4)).toEqual(sent.map(({ eventId }) => eventId));
    expect(peer.asked('get_missing_events')).toBe(0);
  });

  test('with more than 50 events or 100 EDUs, or without lists, is no transaction', async () => {
    const event = room.message(pat, 'one');
    const edu = { edu_type: 'm.typing', content: {} };
    const many = Array.from({ length: 101 }, () => edu);
    expect(
      (
        await world.send(
          peer.name,
          Array.from({ length: 51 }, () => event),
        )
      ).status,
    ).toBe(400);
    expect((await world.send(peer.name, [], many)).status).toBe(400);
    expect((await world.put(peer.name, 'x', '{"pdus":{}}')).json.errcode).toBe('M_BAD_JSON');
    expect(
      (
        await world.send(
          peer.name,
          Array.from({ length: 50 }, () => event),
          many.slice(1),
        )
      ).status,
    ).toBe(200);
    expect(heard).toHaveLength(1);
  });

  test('that comes again is answered from the record, and nothing happens twice', async () => {
    const event = room.message(pat, 'one');
    const first = await world.send(peer.name, [event], [{ edu_type: 'm.typing', content: { a: 1 } }], 'same');
    const again = await world.send(peer.name, [], [{ edu_type: 'm.typing', content: { a: 2 } }], 'same');
    expect(again.json).toEqual(first.json);
    expect(heard).toEqual([{ origin: peer.name, edus: [{ type: 'm.typing', content: { a: 1 } }] }]);
    // Another server's transaction of the same id is another one.
    expect((await world.send('other.test', [], [], 'same')).json).toEqual({ pdus: {} });
  });

  test('that is still in work is waited for by whoever sends it again', async () => {
    const missing = room.message(pat, 'missing');
    const event = room.message(pat, 'after it');
    let answer = (): void => undefined;
    const held = new Promise<void>((resolve) => (answer = resolve));
    peer.scripts.set('get_missing_events', async () => {
      await held;
      return { events: [missing.pdu] };
    });
    const both = Promise.all([1, 2].map(() => world.send(peer.name, [event], [], 'same')));
    await until(() => peer.asked('get_missing_events') === 1);
    answer();
    const [one, two] = await both;
    expect(one?.json).toEqual({ pdus: { [event.eventId]: {} } });
    expect(two?.json).toEqual(one?.json);
    expect(peer.asked('get_missing_events')).toBe(1);
  });
});

describe('events that are no good fail alone', () => {
  const errorsOf = async (pdus: readonly (RoomEvent | string)[], origin: string = peer.name) =>
    (await world.send(origin, pdus)).json.pdus as Record<string, { error?: string }>;

  test('of rooms that are not known or that this server is not in', async () => {
    const unknown = SignedRoom.open('11', pat);
    const left = SignedRoom.open('10', pat);
    await world.take(left);
    const [one, two, good] = [unknown.message(pat, 'x'), left.message(pat, 'x'), room.message(pat, 'good')];
    const answer = await errorsOf([one, two, good]);
    expect(answer).toEqual({
      [one.eventId]: { error: expect.stringContaining('not in the room') },
      [two.eventId]: { error: expect.stringContaining('not in the room') },
      [good.eventId]: {},
    });
  });

  test('of a server that the room’s ACL denies, whoever wrote them', async () => {
    const acl = { allow: ['*'], deny: ['evil.test'] };
    room.say({ type: 'm.room.server_acl', sender: pat, stateKey: '', content: acl });
    await world.take(room);
    const event = room.message(pat, 'x');
    expect(await errorsOf([event], 'evil.test')).toEqual({ [event.eventId]: { error: expect.any(String) } });
    expect(world.verdict(event.eventId)).toBe('unknown');
    expect(await errorsOf([event])).toEqual({ [event.eventId]: {} });
  });

  test('without JSON, without a room, with a wrong format', async () => {
    const good = room.message(pat, 'good');
    const { content: _content, ...bare } = good.pdu;
    const odd = textOf(room.make({ type: 'm.room.message', sender: pat, content: { n: 1 } })).replace(
      '"n":1',
      '"n":1.5',
    );
    expect(await errorsOf(['17', '{}', JSON.stringify(bare), odd, good])).toMatchObject({ [good.eventId]: {} });
    expect(world.staged()).toBe(0);
  });

  test('with duplicate keys: no two readers may see different events', async () => {
    const event = room.make({ type: 'm.room.message', sender: pat, content: { body: 'x' } });
    const doubled = textOf(event).replace('"body":"x"', '"body":"y","body":"x"');
    const answer = await errorsOf([doubled]);
    expect(Object.values(answer)).toEqual([{ error: expect.stringContaining('duplicate-key') }]);
    expect(world.verdict(event.eventId)).toBe('unknown');
  });

  test('with a wrong signature or none', async () => {
    const event = room.make({ type: 'm.room.message', sender: pat, content: { body: 'x' } });
    const other = room.make({ type: 'm.room.message', sender: pat, content: { body: 'y' } });
    const forged = { ...event, pdu: { ...event.pdu, signatures: other.pdu['signatures'] ?? {} } };
    const unsigned = { ...other, pdu: { ...other.pdu, signatures: {} } };
    expect(await errorsOf([forged, unsigned])).toEqual({
      [event.eventId]: { error: expect.stringContaining('wrong') },
      [other.eventId]: { error: expect.any(String) },
    });
    // What a forger sent does not stand in the way of the true one.
    expect(await errorsOf([event])).toEqual({ [event.eventId]: {} });
  });

  test('a wrong content hash: the event is taken redacted', async () => {
    const event = room.make({ type: 'm.room.message', sender: pat, content: { body: 'x' } });
    const changed = { ...event, pdu: { ...event.pdu, content: { body: 'another' } } };
    expect(await errorsOf([changed])).toEqual({ [event.eventId]: {} });
    const text = world.rooms.read((snapshot) => world.rooms.core.eventById(snapshot, event.eventId)?.client ?? '');
    expect(JSON.parse(text)).toMatchObject({ content: {} });
  });

  test('rejected ones are no error of the transaction', async () => {
    const event = room.message(peer.user('stranger'), 'not joined');
    expect(await errorsOf([event])).toEqual({ [event.eventId]: {} });
    expect(world.verdict(event.eventId)).toBe('rejected');
  });

  test('INVARIANTS 10: an event that comes late and is forbidden by now is soft-failed, never an extremity', async () => {
    const quinn = peer.user('quinn');
    const joined = room.join(quinn);
    room.say({ type: 'm.room.member', sender: pat, stateKey: quinn, content: { membership: 'ban' } });
    await world.take(room);
    const late = room.message(quinn, 'late', [joined.eventId]);
    expect(await errorsOf([late])).toEqual({ [late.eventId]: {} });
    expect(world.verdict(late.eventId)).toBe('soft-failed');
    expect(world.timeline(room)).not.toContain(late.eventId);
    const child = room.message(pat, 'on it', [late.eventId]);
    expect(await errorsOf([child])).toEqual({ [child.eventId]: {} });
    expect(world.timeline(room).at(-1)).toBe(child.eventId);
    expect(world.verify()).toEqual([]);
  });
});

describe('INVARIANTS 20: a redaction of another server', () => {
  const mayView = (event: RoomEvent): boolean =>
    world.rooms.read((snapshot) => {
      const stored = world.rooms.core.eventById(snapshot, event.eventId);
      return stored !== undefined && world.rooms.core.mayView(snapshot, alice as UserId, stored);
    });

  test('is shown with the event that it redacts, and not before that is here', async () => {
    const target = room.message(pat, 'target');
    const redaction = room.say({ type: 'm.room.redaction', sender: pat, content: { redacts: target.eventId } });
    const child = room.make({ type: 'm.room.redaction', sender: pat, content: { redacts: '$nowhere' } });
    await world.send(peer.name, [target, redaction, child]);
    expect([mayView(redaction), mayView(child)]).toEqual([true, false]);
  });

  test('that may not redact, or names an event of another room, is not shown', async () => {
    const quinn = peer.user('quinn');
    const other = SignedRoom.open('11', pat);
    await world.take(other);
    room.join(quinn);
    const own = room.message(alice, 'of another server');
    await world.take(room);
    const redactions = [own.eventId, other.events.at(-1)?.eventId ?? ''].map((redacts) =>
      room.say({ type: 'm.room.redaction', sender: quinn, content: { redacts } }),
    );
    await world.send(peer.name, redactions);
    expect(redactions.map(({ eventId }) => world.verdict(eventId))).toEqual(['accepted', 'accepted']);
    expect(redactions.map(mayView)).toEqual([false, false]);
  });
});

describe('what is staged', () => {
  test('is taken up after a kill between staging and verdict', async () => {
    const missing = room.message(pat, 'missing');
    const event = room.message(pat, 'after it');
    peer.scripts.set('get_missing_events', () => hang);
    const sent = world.send(peer.name, [event]).catch(() => undefined);
    await until(() => world.staged() === 1 && peer.asked('get_missing_events') === 1);
    peer.scripts.delete('get_missing_events');
    const next = await startIntake({ killed: world.rooms.path, network: world.network });
    await until(() => next.verdict(event.eventId) === 'accepted');
    expect(next.timeline(room).slice(-2)).toEqual([missing.eventId, event.eventId]);
    await until(() => next.staged() === 0);
    await next[Symbol.asyncDispose]();
    peer.peer.server.closeAllConnections();
    await sent;
  });

  test('INVARIANTS 13: what comes for a room while this server enters it waits for the end of that', async () => {
    const entered = SignedRoom.open('11', pat);
    const roomId = entered.roomId as RoomId;
    const before = entered.events.slice();
    const join = entered.join(alice);
    const message = entered.message(pat, 'welcome');
    const end = world.remote.handshakes.begin(roomId);
    const sent = world.send(peer.name, [message]);
    await until(() => world.staged() === 1);
    await world.rooms.core.input(roomIdOf(roomId), before, 'outlier');
    const state = new Map([[join.eventId, before.map(({ eventId }) => eventId)]]);
    await world.rooms.core.input(roomIdOf(roomId), [join], 'live', { stateBefore: state, replacesRoom: join.eventId });
    end();
    expect((await sent).json.pdus).toEqual({ [message.eventId]: {} });
    expect(world.timeline(entered)).toEqual([join.eventId, message.eventId]);
    expect(world.staged()).toBe(0);
  });

  test('for a room that this server did not come to be in after all is refused', async () => {
    const entered = SignedRoom.open('11', pat);
    const message = entered.message(pat, 'welcome');
    const end = world.remote.handshakes.begin(entered.roomId as RoomId);
    const sent = world.send(peer.name, [message]);
    await until(() => world.staged() === 1);
    end();
    expect((await sent).json.pdus).toEqual({ [message.eventId]: { error: expect.any(String) } });
    expect(world.staged()).toBe(0);
  });
});
