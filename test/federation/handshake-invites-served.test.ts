/** Invites that another server asks ours to sign (S-S API v1.19 §Inviting to a room). */
import { describe, expect, test } from '@jest/globals';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu } from '../../src/matrix/pdu.ts';
import type { Answer } from '../support/client.ts';
import { told, v1, v2, type Finished } from '../support/handshakes.ts';
import { useVisited } from '../support/neighbours.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { syncRooms } from '../support/rooms-between.ts';

const enc = encodeURIComponent;
let numbers = 0;
const { home, peer, alice } = useVisited();

describe('invites', () => {
  interface Sent {
    readonly room: SignedRoom;
    readonly event: Finished;
  }

  const invitation = (version = '12', changes: JsonObject = {}): Sent => {
    const room = SignedRoom.open(version, peer().user(`host${numbers++}`));
    const draft = { type: 'm.room.member', sender: room.creator, stateKey: alice().userId };
    return { room, event: room.say({ ...draft, content: { membership: 'invite', ...changes } }) };
  };
  const create = (room: SignedRoom): JsonObject => room.events[0]?.pdu ?? {};
  const put = (room: SignedRoom, event: Finished, more: JsonObject = {}): Promise<Answer> =>
    peer().ask(home(), 'PUT', `${v2}/invite/${enc(room.roomId)}/${enc(event.eventId)}`, {
      event: event.pdu,
      room_version: room.rules.version,
      invite_room_state: [create(room)],
      ...more,
    });

  test('are signed, once however often they come', async () => {
    const { room, event } = invitation();
    const { next_batch: since } = await syncRooms(alice());
    const { status, body } = await put(room, event);
    expect(status).toBe(200);
    expect(Object.keys((body.event as Pdu).signatures as JsonObject).sort()).toEqual([home().name, peer().name].sort());
    const first = await syncRooms(alice(), since);
    expect(Object.keys(first.rooms?.invite ?? {})).toEqual([room.roomId]);
    expect((await put(room, event)).status).toBe(200);
    expect((await syncRooms(alice(), first.next_batch)).rooms?.invite).toBeUndefined();
  });

  test('of version 1 come with their state inside', async () => {
    const { room, event } = invitation('1');
    const unsigned = {
      invite_room_state: [{ type: 'm.room.name', state_key: '', sender: room.creator, content: { name: 'Old' } }],
    };
    const uri = `${v1}/invite/${enc(room.roomId)}/${enc(event.eventId)}`;
    const answer = await peer().ask(home(), 'PUT', uri, { ...event.pdu, unsigned });
    const [code, body] = answer.body as unknown as [number, { event: Pdu }];
    expect([code, Object.keys(body.event.signatures as JsonObject)]).toEqual([
      200,
      expect.arrayContaining([home().name]),
    ]);
    const { rooms } = await syncRooms(alice());
    const events = rooms?.invite?.[room.roomId]?.invite_state.events ?? [];
    expect(events.find(({ type }) => type === 'm.room.name')?.content.name).toBe('Old');
  });

  test('are looked at before they are signed', async () => {
    const { room, event } = invitation();
    expect(told(await put(room, event, { room_version: 'none' }))).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION']);
    expect(told(await put(room, event, { invite_room_state: [] }))).toEqual([400, 'M_MISSING_PARAM']);
    const other = SignedRoom.open('12', peer().user('other'));
    expect(told(await put(room, event, { invite_room_state: [create(room), create(other)] }))).toEqual([
      400,
      'M_INVALID_PARAM',
    ]);
    const stranger = invitation();
    const elsewhere = stranger.room.say({
      ...{ type: 'm.room.member', sender: stranger.room.creator, stateKey: '@x:elsewhere.example' },
      content: { membership: 'invite' },
    });
    expect(told(await put(stranger.room, elsewhere))).toEqual([400, 'M_INVALID_PARAM']);
    const join = room.events.find(({ type }) => type === 'm.room.member');
    if (join === undefined) throw new Error('no join');
    expect(told(await put(room, join))).toEqual([400, 'M_INVALID_PARAM']);
    const forged = {
      ...event,
      pdu: { ...event.pdu, signatures: { [peer().name]: { 'ed25519:test': 'a'.repeat(86) } } },
    };
    expect(told(await put(room, forged))).toEqual([403, 'M_FORBIDDEN']);
  });

  test('end when who sent them takes them back, and not for anybody else', async () => {
    const { room, event } = invitation();
    expect((await put(room, event)).status).toBe(200);
    const { next_batch: since } = await syncRooms(alice());
    const transaction = (pdu: Pdu): Promise<Answer> =>
      peer().ask(home(), 'PUT', `${v1}/send/t${numbers++}`, {
        ...{ origin: peer().name, origin_server_ts: Date.now(), edus: [] },
        pdus: [pdu],
      });
    const draft = { type: 'm.room.member', stateKey: alice().userId, content: { membership: 'leave' } };
    const other = peer().user('moderator');
    const byOther = room.make({ ...draft, sender: room.creator });
    await transaction({ ...byOther.pdu, sender: other });
    expect((await syncRooms(alice(), since)).rooms?.leave).toBeUndefined();
    await transaction(room.say({ ...draft, sender: room.creator }).pdu);
    const left = await syncRooms(alice(), since);
    expect(Object.keys(left.rooms?.leave ?? {})).toEqual([room.roomId]);
    expect(Object.keys((await syncRooms(alice())).rooms?.invite ?? {})).not.toContain(room.roomId);
    expect((await syncRooms(alice(), left.next_batch)).rooms?.leave).toBeUndefined();
  });
});
