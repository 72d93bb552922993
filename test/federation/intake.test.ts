/** Transactions of another server and what becomes of their events (S-S API v1.19 §Transactions, §PDUs). */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type IntakeWorld, type RoomPeer, startIntake } from '../support/intake.ts';
import type { SignedRoom } from '../support/room-builder.ts';

let world: IntakeWorld;
let peer: RoomPeer;
let room: SignedRoom;
let pat: string;
beforeAll(async () => {
  world = await startIntake();
  ({ peer, room, pat } = await world.peerWithRoom());
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

describe('a transaction', () => {
  test('is answered with what became of each event', async () => {
    const [one, two] = [room.message(pat, 'one'), room.message(pat, 'two')];
    const { status, json } = await world.send(peer.name, [one, two]);
    expect([status, json]).toEqual([200, { pdus: { [one.eventId]: {}, [two.eventId]: {} } }]);
    expect(world.timeline(room).slice(-2)).toEqual([one.eventId, two.eventId]);
    expect(world.staged()).toBe(0);
    expect(world.verify()).toEqual([]);
  });
});
