import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventId } from '../../src/matrix/ids.ts';
import { roomVersions } from '../../src/matrix/room-versions.ts';
import type { LocalMembership } from '../../src/roomserver/index.ts';
import { asPosition } from '../../src/storage/index.ts';
import { type TestRooms, openTestRooms, user } from '../support/room-core.ts';

const alice = '@alice:one.example';
const bob = '@bob:one.example';
const end = asPosition(Number.MAX_SAFE_INTEGER);
const start = asPosition(0);

let rooms: TestRooms;
beforeEach(() => {
  rooms = openTestRooms();
});
afterEach(async () => {
  await rooms[Symbol.asyncDispose]();
});

const message = (sender: string, body: string) => ({
  type: 'm.room.message',
  sender,
  content: { body, msgtype: 'm.text' },
});

describe('sending into a room of our own', () => {
  test.each([...roomVersions.keys()])('a room of version %s is made, joined and talked in', async (version) => {
    const { core } = rooms;
    const room = await rooms.openRoom(alice, version);
    await rooms.join(room, bob);
    const sent = await rooms.send(room, message(bob, 'hello'));
    rooms.read((snapshot) => {
      expect(core.room(snapshot, room.roomId)).toEqual(room);
      expect(core.joinedCount(snapshot, room.nid)).toBe(2);
      expect(core.joinedServers(snapshot, room.nid)).toEqual(['one.example']);
      expect(core.joinedLocalUsers(snapshot, room.nid).sort()).toEqual([alice, bob]);
      expect(core.joinedRooms(snapshot, user(bob))).toEqual([room.nid]);
      expect(core.eventById(snapshot, sent.eventId)).toEqual(sent);
      const event = core.roomEvent(snapshot, sent.nid);
      expect(event.depth).toBe(6);
      expect(event.prevEvents).toHaveLength(1);
      const timeline = core.timelineBackward(snapshot, room.nid, end, start, 100);
      expect(timeline.map(({ type }) => type).reverse()).toEqual([
        'm.room.create',
        'm.room.member',
        'm.room.power_levels',
        'm.room.join_rules',
        'm.room.member',
        'm.room.message',
      ]);
      expect(core.timelineForward(snapshot, room.nid, start, end, 100)).toEqual(timeline.reverse());
      expect(core.currentState(snapshot, room.nid)).toHaveLength(5);
      expect(core.stateEntries(snapshot, core.currentSnapshot(snapshot, room.nid))).toEqual(
        core.currentState(snapshot, room.nid),
      );
    });
  });

  test('what the auth rules forbid is refused with their reason and leaves nothing behind', async () => {
    const room = await rooms.openRoom(alice);
    await expect(rooms.send(room, message(bob, 'hello'))).rejects.toMatchObject({
      status: 403,
      errcode: 'M_FORBIDDEN',
    });
    rooms.read((snapshot) => expect(rooms.core.timelineForward(snapshot, room.nid, start, end, 100)).toHaveLength(4));
  });

  test('a state event equal to the current one is not sent again, unless someone else sends it', async () => {
    const room = await rooms.openRoom(alice, '11');
    await rooms.join(room, bob);
    const topic = { type: 'm.room.topic', stateKey: '', sender: alice, content: { topic: 'x' } };
    const first = await rooms.send(room, topic);
    expect(await rooms.send(room, topic)).toEqual(first);
    await rooms.send(room, {
      type: 'm.room.power_levels',
      stateKey: '',
      sender: alice,
      content: { users: { [alice]: 100, [bob]: 100 } },
    });
    expect((await rooms.send(room, { ...topic, sender: bob })).nid).not.toBe(first.nid);
  });

  test('a failed unit takes its rooms, names and numbers with it, and the same work succeeds later', async () => {
    const { db, core } = rooms;
    const make = (fails: boolean) =>
      db.write((tx) => {
        const room = core.createRoom(tx, { version: '11', sender: user(alice), content: {} });
        core.send(tx, room, {
          type: 'm.room.member',
          stateKey: alice,
          sender: user(alice),
          content: { membership: 'join' },
        });
        core.send(tx, room, { type: 'org.example.new', stateKey: 'never seen', sender: user(alice), content: {} });
        if (fails) throw new Error('no');
        return room;
      });
    const [failed, done] = await Promise.allSettled([make(true), make(false)]);
    expect(failed.status).toBe('rejected');
    expect(done.status).toBe('fulfilled');
    const room = await make(false);
    rooms.read((snapshot) => {
      expect(core.currentEvent(snapshot, room.nid, 'org.example.new', 'never seen')).toBeDefined();
      expect(core.currentState(snapshot, room.nid, 'org.example.new')).toHaveLength(1);
    });
  });

  test('INVARIANTS 8: every change of the current state has its row in the history of the room', async () => {
    const { core } = rooms;
    const room = await rooms.openRoom(alice);
    const joined = await rooms.join(room, bob);
    const said = await rooms.send(room, message(bob, 'x'));
    const slot = joined.place?.slot ?? start;
    rooms.read((snapshot) => {
      const before = core.snapshotAt(snapshot, room.nid, asPosition(slot - 1));
      const after = core.snapshotAt(snapshot, room.nid, slot);
      expect(core.stateDifference(snapshot, before, after)).toEqual([
        { type: 'm.room.member', stateKey: bob, from: 0, to: joined.nid },
      ]);
      expect(core.stateBefore(snapshot, said)).toBe(after);
      expect(core.stateAfter(snapshot, said)).toBe(after);
      expect(core.currentSnapshot(snapshot, room.nid)).toBe(after);
      expect(core.snapshotAt(snapshot, room.nid, start)).toBe(0);
    });
  });

  test('INVARIANTS 16: a local user has one row per transition, and a profile change is none', async () => {
    const { core } = rooms;
    const room = await rooms.openRoom(alice);
    const member = (sender: string, membership: string, more = {}) =>
      rooms.send(room, { type: 'm.room.member', stateKey: bob, sender, content: { membership, ...more } });
    await member(alice, 'invite');
    await member(bob, 'join');
    await member(bob, 'join', { displayname: 'Bob' });
    await member(bob, 'leave');
    await rooms.db.write((tx) => core.forget(tx, room, user(bob)));
    rooms.read((snapshot) => {
      const rows = core.localMembershipsBetween(snapshot, user(bob), start, end);
      expect(rows.map(({ membership, forgotten }) => [membership, forgotten])).toEqual([
        ['invite', false],
        ['join', false],
        ['leave', true],
      ]);
      expect(core.localMemberships(snapshot, user(bob))).toEqual([rows[2]]);
      expect(
        core.localMembershipAt(snapshot, user(bob), room.nid, asPosition((rows[1] as LocalMembership).position)),
      ).toEqual(rows[1]);
      expect(core.invitedCount(snapshot, room.nid)).toBe(0);
      expect(
        core
          .strippedState(snapshot, rows[0] as LocalMembership)
          .map((text) => (JSON.parse(text) as { type: string }).type),
      ).toEqual(['m.room.create', 'm.room.join_rules', 'm.room.member', 'm.room.member']);
    });
    expect(rooms.topics().slice(-6)).toEqual([
      'room.event',
      'room.membership',
      'room.event',
      'room.event',
      'room.membership',
      'room.membership',
    ]);
    await member(alice, 'invite');
    rooms.read((snapshot) =>
      expect(core.localMemberships(snapshot, user(bob))[0]).toMatchObject({ membership: 'invite', forgotten: false }),
    );
  });

  test('a redaction by who may redact takes the content away, and is told', async () => {
    const { core } = rooms;
    const room = await rooms.openRoom(alice);
    await rooms.join(room, bob);
    const said = await rooms.send(room, message(bob, 'secret'));
    const redaction = await rooms.send(room, {
      type: 'm.room.redaction',
      sender: alice,
      content: {},
      redacts: said.eventId,
    });
    rooms.read((snapshot) => {
      const redacted = core.event(snapshot, said.nid);
      expect(redacted?.redactedBy).toBe(redaction.nid);
      expect(redacted?.client).not.toContain('secret');
      expect(core.roomEvent(snapshot, said.nid).content).toEqual({});
    });
    expect(rooms.log.at(-1)?.entry).toMatchObject({
      topic: 'event.redacted',
      event: said.nid,
      redaction: redaction.nid,
    });
  });

  test('relations are found newest first, without those redacted', async () => {
    const { core } = rooms;
    const room = await rooms.openRoom(alice);
    const parent = await rooms.send(room, message(alice, 'x'));
    const react = (key: string) =>
      rooms.send(room, {
        type: 'm.reaction',
        sender: alice,
        content: { 'm.relates_to': { rel_type: 'm.annotation', event_id: parent.eventId, key } },
      });
    const [one, two, three] = [await react('a'), await react('b'), await react('c')];
    await rooms.send(room, { type: 'm.room.redaction', sender: alice, content: {}, redacts: two.eventId });
    rooms.read((snapshot) => {
      const find = (relType?: string, type?: string) =>
        core.relatingEvents(snapshot, room.nid, parent.eventId, relType, type);
      expect(find()).toEqual([three.nid, one.nid]);
      expect(find('m.annotation', 'm.reaction')).toEqual([three.nid, one.nid]);
      expect(find('m.thread')).toEqual([]);
      expect(find(undefined, 'm.other')).toEqual([]);
      expect(core.relatingEvents(snapshot, room.nid, '$none' as EventId, undefined, undefined)).toEqual([]);
    });
  });

  test('rooms are listed by their last change, and first members by their join', async () => {
    const { core } = rooms;
    const one = await rooms.openRoom(alice);
    const two = await rooms.openRoom(alice);
    await rooms.join(one, bob);
    await rooms.join(one, '@carol:one.example');
    rooms.read((snapshot) => {
      expect([...core.roomsChangedSince(snapshot, start)]).toEqual([one.nid, two.nid]);
      expect([...core.roomsChangedSince(snapshot, core.lastPosition(snapshot, two.nid))]).toEqual([one.nid]);
      expect(core.firstMembers(snapshot, one.nid, ['join', 'invite'], 2)).toEqual([alice, bob]);
      expect(core.sharedRooms(snapshot, user(alice), user(bob))).toEqual([one.nid]);
    });
  });

  test('the transaction id is known to the sending device alone', async () => {
    const { core, db } = rooms;
    const room = await rooms.openRoom(alice);
    const sent = await db.write((tx) =>
      core.send(tx, room, { ...message(alice, 'x'), sender: user(alice) }, { deviceId: 'D', transactionId: 't' }),
    );
    rooms.read((snapshot) => {
      expect(core.transactionId(snapshot, sent.nid, 'D')).toBe('t');
      expect(core.transactionId(snapshot, sent.nid, 'E')).toBeUndefined();
    });
  });
});
