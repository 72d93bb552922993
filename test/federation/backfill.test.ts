/** History from before what we know (S-S API v1.19 §Backfilling and retrieving missing events; INVARIANTS 12). */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { UserId } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import type { Room } from '../../src/roomserver/index.ts';
import { alice, type IntakeWorld, startIntake } from '../support/intake.ts';
import { type RoomPeer } from '../support/room-peer.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { roomIdOf } from '../support/room-core.ts';

let world: IntakeWorld;
let peer: RoomPeer;
beforeEach(async () => {
  world = await startIntake();
  peer = await world.peer('peer.test');
});
afterEach(async () => {
  await peer[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

interface Joined {
  readonly room: SignedRoom;
  readonly here: Room;
  readonly before: readonly RoomEvent[];
  readonly join: RoomEvent;
}

/** A room with history that alice joins through its server: of before, only the state is known. */
async function joinedRoom(messages: number, visibility?: string): Promise<Joined> {
  const pat = peer.user('pat');
  const room = SignedRoom.open('11', pat);
  peer.rooms.set(room.roomId, room);
  if (visibility !== undefined) {
    const content = { history_visibility: visibility };
    room.say({ type: 'm.room.history_visibility', sender: pat, stateKey: '', content });
  }
  for (let n = 0; n < messages; n += 1) {
    if (n % 10 === 5) room.say({ type: 'm.room.topic', sender: pat, stateKey: '', content: { topic: String(n) } });
    else room.message(pat, String(n));
  }
  const before = room.events.slice();
  const state = Object.values(room.ids(room.currentState()));
  const join = room.join(alice);
  const known = before.filter(({ eventId }) => state.includes(eventId));
  await world.rooms.core.input(roomIdOf(room.roomId), known, 'outlier');
  const told = new Map([[join.eventId, known.map(({ eventId }) => eventId)]]);
  await world.rooms.core.input(roomIdOf(room.roomId), [join], 'live', {
    stateBefore: told,
    replacesRoom: join.eventId,
  });
  const here = world.rooms.read((snapshot) => world.rooms.core.room(snapshot, room.roomId));
  if (here === undefined) throw new Error('no room');
  return { room, here, before, join };
}
const ids = (events: readonly RoomEvent[]): string[] => events.map(({ eventId }) => eventId);

describe('backfill', () => {
  test('INVARIANTS 12: fills the gap before a join page by page, in one order, down to the create event', async () => {
    const { room, here, before, join } = await joinedRoom(60);
    expect(world.remote.hasGap(here, { limit: 20 })).toBe(true);
    expect(await world.remote.backfill(here, { limit: 20 })).toBe(true);
    expect(world.timeline(room)).toEqual(ids([...before.slice(-20), join]));
    for (let turn = 0; turn < 5 && world.remote.hasGap(here, { limit: 20 }); turn += 1)
      await world.remote.backfill(here, { limit: 20 });
    expect(world.timeline(room)).toEqual(ids([...before, join]));
    expect(await world.remote.backfill(here, { limit: 20 })).toBe(false);
    expect(world.state(room)).toEqual(room.ids(room.currentState()));
    expect(world.verify()).toEqual([]);
  });

  test('of events on several branches keeps what stands before what', async () => {
    const { room, here } = await joinedRoom(0);
    const pat = peer.user('pat');
    const tip = room.events.at(-1) as RoomEvent;
    const [left, right] = ['left', 'right'].map((body) => room.message(pat, body, [tip.eventId])) as [
      RoomEvent,
      RoomEvent,
    ];
    const merged = room.message(pat, 'merged', [left.eventId, right.eventId]);
    const last = room.message(pat, 'last', [merged.eventId]);
    peer.scripts.set('get_missing_events', () => ({ events: [merged.pdu] }));
    await world.send(peer.name, [last]);
    expect(world.timeline(room).slice(-2)).toEqual([merged.eventId, last.eventId]);
    const place = world.rooms.read((snapshot) => world.rooms.core.eventById(snapshot, merged.eventId)?.place);
    expect(await world.remote.backfill(here, { before: place, limit: 20 })).toBe(true);
    const timeline = world.timeline(room);
    expect(timeline.slice(-2)).toEqual([merged.eventId, last.eventId]);
    expect(new Set(timeline.slice(-4, -2))).toEqual(new Set([left.eventId, right.eventId]));
    expect(world.verify()).toEqual([]);
  });

  test('is one errand for all who wait, and a failure is remembered', async () => {
    const { here } = await joinedRoom(10);
    peer.scripts.set('backfill', (_request, _url, response) => void response.writeHead(500).end('{}'));
    const both = await Promise.all([
      world.remote.backfill(here, { limit: 5 }),
      world.remote.backfill(here, { limit: 5 }),
    ]);
    expect([both, peer.asked('backfill')]).toEqual([[false, false], 1]);
    expect(world.remote.hasGap(here, { limit: 5 })).toBe(false);
    expect(await world.remote.backfill(here, { limit: 5 })).toBe(false);
    expect(peer.asked('backfill')).toBe(1);
  });

  test.each([
    ['shared', true],
    ['world_readable', true],
    ['invited', false],
    ['joined', false],
  ])('asks for nothing that history visibility would hide from the reader: %s', async (visibility, expected) => {
    const { here } = await joinedRoom(5, visibility);
    expect(world.remote.hasGap(here, { limit: 5, user: alice as UserId })).toBe(expected);
    expect(await world.remote.backfill(here, { limit: 5, user: alice as UserId })).toBe(expected);
  });

  test('takes nothing that it did not ask for, is forged, or of another room', async () => {
    const { room, here, before } = await joinedRoom(3);
    const other = SignedRoom.open('10', peer.user('pat'));
    const last = before.at(-1) as RoomEvent;
    peer.scripts.set('backfill', () => ({
      pdus: [
        { ...last.pdu, signatures: {} },
        ...other.events.map(({ pdu }) => pdu),
        room.make({ type: 'm.room.message', sender: peer.user('pat'), content: {} }).pdu,
      ],
    }));
    expect(await world.remote.backfill(here, { limit: 5 })).toBe(false);
    expect(world.timeline(room)).toHaveLength(1);
  });
});
