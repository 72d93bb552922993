/** How rooms that were joined without their members become whole, whoever answers, lies or vanishes (DESIGN §7). */
import { describe, expect, jest, test } from '@jest/globals';
import { hang } from '../../support/room-peer.ts';
import type { ResidentRoom } from '../../support/resident-room.ts';
import { eventually, isIn, lazySync, sync, syncUntil } from '../../support/partial-scene.ts';
import { usePartialStage } from '../../support/partial-stage.ts';
import { changeBy } from '../../support/rooms-between.ts';

const stage = usePartialStage();

const failed = (room: ResidentRoom): Promise<string> =>
  eventually(
    () => stage.partialRooms(room),
    (line) => line.includes('failed, next in'),
  );

describe('a resync', () => {
  test('PartialStateJoinContinuesAfterRestart', async () => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    const { next_batch: since } = await sync(alice);
    await stage.server.stop();
    await stage.server.start();
    const again = await sync(alice, { since });
    expect(isIn(again, room)).toBe(false);
    room.release();
    await syncUntil(alice, again.next_batch, (answer) => isIn(answer, room), {});
  });

  test('PartialStateJoinSyncsUsingOtherHomeservers', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.room.join(stage.second.user('david'));
    const asked: string[] = [];
    room.tell = ({ server }) => {
      asked.push(server);
      return server === stage.resident.name ? {} : undefined;
    };
    await stage.join(alice, room);
    expect(isIn(await sync(alice), room)).toBe(false);
    expect(Object.keys(await stage.whole(alice, room))).toHaveLength(4);
    expect(asked).toEqual([stage.resident.name, expect.any(String), ...asked.slice(2)]);
    expect(asked).toContain(stage.second.name);
  });

  test('that fails on every server keeps a next attempt, tells why, and goes on when it is told to', async () => {
    const { alice, room } = await stage.joined();
    room.tell = () => ({});
    room.release();
    const line = await failed(room);
    expect(line).toContain(`via ${stage.resident.name}`);
    expect(line).toContain('0 of 1 events');
    // No client hangs on it: what needs no members is answered, what needs them is refused after a while.
    expect(isIn(await lazySync(alice), room)).toBe(true);
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    const shortened = jest.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout(ms === 120_000 ? 100 : ms));
    try {
      const { status, body } = await alice.ask('GET', `${room.path}/members`);
      expect([status, body.errcode]).toEqual([503, 'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE']);
    } finally {
      shortened.mockRestore();
    }
    room.tell = () => undefined;
    const printed: string[] = [];
    await stage.server.app.partialRooms({ action: 'retry', roomId: room.id }, (text) => printed.push(text));
    expect(printed.join('\n')).toContain(room.id);
    await syncUntil(alice, undefined, (answer) => isIn(answer, room), {});
    expect(await stage.partialRooms(room)).toBe('');
  });

  test('can be given up by the operator, and the room can be joined again', async () => {
    const { alice, room } = await stage.joined();
    await room.stateAsked();
    await expect(
      stage.server.app.partialRooms({ action: 'abort', roomId: '!none:elsewhere.example' }, () => undefined),
    ).rejects.toThrow('not a room that waits');
    await stage.server.app.partialRooms({ action: 'abort', roomId: room.id }, () => undefined);
    expect(await stage.partialRooms(room)).toBe('');
    expect(isIn(await lazySync(alice), room)).toBe(false);
    await eventually(
      () => room.current('m.room.member', alice.userId).content.membership,
      (membership) => membership === 'leave',
    );
    await stage.join(alice, room);
    expect(Object.keys(await stage.whole(alice, room))).toHaveLength(3);
  });

  test('never asks this server itself', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.servers = [stage.server.name, stage.resident.name];
    room.tell = () => ({});
    await stage.join(alice, room);
    room.release();
    const line = await failed(room);
    expect(line).toContain(`${stage.resident.name}: `);
    expect(line).not.toContain(stage.server.name);
    room.tell = () => undefined;
    await stage.server.app.partialRooms({ action: 'retry' }, () => undefined);
    await stage.whole(alice, room);
  });

  test('is not kept from its work by names of servers that are none', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.servers = ['', 'no name', '@user:localhost', stage.resident.name, stage.resident.name];
    await stage.join(alice, room);
    expect((await alice.send(room.id, 't1', 'Hello')).status).toBe(200);
    expect(Object.keys(await stage.whole(alice, room))).toHaveLength(3);
  });

  test('survives residents that vanish in the middle of an answer', async () => {
    const { alice, room } = await stage.joined();
    let broken = 0;
    room.tell = ({ response }) => {
      if ((broken += 1) > 2) return undefined;
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.write('{"pdu_ids":["$abc"');
      setImmediate(() => response.destroy());
      return hang;
    };
    room.release();
    expect(Object.keys(await stage.whole(alice, room))).toHaveLength(3);
    expect(broken).toBeGreaterThan(1);
  });

  test('believes no state without the create event, and none of another room', async () => {
    const [alice, room, other] = [await stage.user(), stage.resident.openRoom(), stage.resident.openRoom()];
    room.room.join(stage.second.user('david'));
    const idsOf = ({ room: signed }: ResidentRoom): string[] => Object.values(signed.ids(signed.currentState()));
    const lies = [
      { pdu_ids: [], auth_chain_ids: [] },
      { pdu_ids: idsOf(other), auth_chain_ids: [] },
    ];
    room.tell = ({ server }) => (server === stage.resident.name ? (lies.shift() ?? lies[0] ?? {}) : undefined);
    await stage.join(alice, room);
    expect(Object.keys(await stage.whole(alice, room)).sort()).toEqual(
      [room.creator, stage.derek, stage.second.user('david'), alice.userId].sort(),
    );
  });

  test('of a room whose residents disagree ends with one of their states', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    room.room.join(stage.second.user('david'));
    const fred = stage.resident.user('fred');
    const fredJoin = room.room.join(fred);
    await stage.join(alice, room);
    // Two branches: one server is asked for the state of each.
    const tip = room.current('m.room.member', alice.userId).eventId;
    const [left, right] = [
      room.room.message(stage.derek, 'left', [tip]),
      room.room.message(room.creator, 'right', [tip]),
    ];
    await stage.send(left, right);
    await stage.arrived(alice, room, right.eventId);
    let asked = 0;
    room.tell = ({ server, endpoint }) => {
      if (endpoint !== 'state_ids') return undefined;
      asked += 1;
      if (asked === 1) return {};
      const state = Object.values(room.room.ids(room.room.currentState())).filter(
        (id) => id !== room.room.event(room.room.nid(tip))?.eventId,
      );
      return server === stage.second.name
        ? { pdu_ids: state.filter((id) => id !== fredJoin.eventId), auth_chain_ids: state }
        : undefined;
    };
    const joined = await stage.whole(alice, room);
    expect(Object.keys(joined)).toEqual(expect.arrayContaining([room.creator, stage.derek, alice.userId]));
    expect((await alice.send(room.id, 't1', 'still here')).status).toBe(200);
  });

  test('takes no state for the truth that keeps out who was let in', async () => {
    const [alice, room] = [await stage.user(), stage.resident.openRoom()];
    const rule = (name: string) =>
      room.room.say({ type: 'm.room.join_rules', stateKey: '', sender: room.creator, content: { join_rule: name } });
    const closed = rule('invite');
    rule('public');
    room.room.message(room.creator, 'open now');
    const chain = room.room.events.map(({ eventId }) => eventId);
    const lie = Object.values(room.room.ids(room.room.override(room.room.currentState(), closed.eventId)));
    room.tell = ({ endpoint }) => (endpoint === 'state_ids' ? { pdu_ids: lie, auth_chain_ids: chain } : undefined);
    await stage.join(alice, room);
    room.release();
    expect(await failed(room)).toContain('does not admit it');
    expect(isIn(await lazySync(alice), room)).toBe(true);
    room.tell = () => undefined;
    await stage.server.app.partialRooms({ action: 'retry', roomId: room.id }, () => undefined);
    expect(Object.keys(await stage.whole(alice, room))).toContain(alice.userId);
  });

  test('of a room that a banned user was let into does not end, says why, and lets him leave', async () => {
    const { alice, room } = await stage.joined();
    await stage.whole(alice, room);
    const join = room.current('m.room.member', alice.userId);
    const ban = room.member(alice.userId, 'ban', room.creator);
    await stage.send(ban);
    await syncUntil(alice, undefined, (answer) => !isIn(answer, room), { lazy: true });
    // The resident lets the banned one in, citing what was before.
    const { scripts } = stage.resident.peer;
    const [made, sent] = [scripts.get('make_join'), scripts.get('send_join')];
    const cited = ['m.room.power_levels', 'm.room.join_rules'].map((type) => room.current(type).eventId);
    const event = {
      ...{ type: 'm.room.member', sender: alice.userId, state_key: alice.userId, content: { membership: 'join' } },
      ...{ room_id: room.id, prev_events: [ban.eventId], auth_events: [...cited, join.eventId] },
      ...{ depth: ban.depth + 1, origin_server_ts: 0 },
    };
    scripts.set('make_join', () => ({ room_version: '12', event }));
    scripts.set('send_join', () => {
      const known = room.room.events.filter(({ eventId }) => eventId !== ban.eventId).map(({ pdu }) => pdu);
      const state = known.filter(({ type, state_key: key }) => key === '' && type !== 'm.room.member');
      return { state, auth_chain: known, members_omitted: true, servers_in_room: [stage.resident.name] };
    });
    try {
      await stage.join(alice, room);
    } finally {
      if (made !== undefined) scripts.set('make_join', made);
      if (sent !== undefined) scripts.set('send_join', sent);
    }
    expect(await failed(room)).toContain('does not admit it');
    expect((await changeBy(alice, room.id, 'leave')).status).toBe(200);
    expect(await stage.partialRooms(room)).toBe('');
  });
});
