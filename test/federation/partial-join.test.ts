/** Joins without members between whole servers (S-S API v1.19 §send_join, omit_members; DESIGN §7). */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Client } from '../support/client.ts';
import { startServers, type FederatedServer } from '../support/servers.ts';

const v3 = '/_matrix/client/v3';
const lazy = encodeURIComponent(JSON.stringify({ room: { state: { lazy_load_members: true } } }));

let one: FederatedServer;
let two: FederatedServer;
let alice: Client;
let bob: Client;
let roomId: string;

beforeEach(async () => {
  const { servers } = await startServers(2);
  const [first, second] = servers;
  if (first === undefined || second === undefined) throw new Error('no servers');
  [one, two] = [first, second];
  alice = await one.user('alice');
  bob = await two.user('bob');
  roomId = await alice.createRoom();
  for (let index = 0; index < 5; index += 1) await (await one.user(`member${index}`)).join(roomId);
});
afterEach(async () => {
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
});

const joinVia = (user: Client, server: FederatedServer): Promise<Record<string, unknown>> =>
  user.must('POST', `${v3}/join/${encodeURIComponent(roomId)}?via=${server.name}`, {});

describe('a join through another server', () => {
  test('is answered before the members are here, and brings all of them in the end', async () => {
    await joinVia(bob, one);
    const first = await bob.must('GET', `${v3}/sync?filter=${lazy}`);
    expect(Object.keys((first.rooms as { join: object }).join)).toEqual([roomId]);
    // Waits until the members are known.
    const { joined } = await bob.must('GET', `${v3}/rooms/${encodeURIComponent(roomId)}/joined_members`);
    expect(Object.keys(joined as object)).toHaveLength(7);
    const whole = await bob.must('GET', `${v3}/sync`);
    const { state, timeline } = (
      whole.rooms as { join: Record<string, Record<string, { events: { type: string }[] }>> }
    ).join[roomId] as Record<string, { events: { type: string }[] }>;
    const members = [...(state?.events ?? []), ...(timeline?.events ?? [])].filter(
      ({ type }) => type === 'm.room.member',
    );
    expect(members).toHaveLength(7);
  });
});
