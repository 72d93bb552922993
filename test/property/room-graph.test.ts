/**
 * The full graph: random signed rooms of all versions, with forks, kicks, bans, changes of power and redactions, received
 * in several orders by servers of their own. What they find is held against the plain oracle that made the rooms.
 * NEURITE_PROPERTY_RUNS sets the number of rooms (default 24), NEURITE_PROPERTY_SEED the seed.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { roomVersions } from '../../src/matrix/room-versions.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { SignedRoom } from '../support/room-builder.ts';
import { type TestRooms, openTestRooms, roomIdOf } from '../support/room-core.ts';
import { reorder } from '../support/room-dag.ts';
import { stepOf, type Step } from '../support/steps.ts';

const runs = Number(process.env['NEURITE_PROPERTY_RUNS'] ?? 24);
const seed = Number(process.env['NEURITE_PROPERTY_SEED'] ?? 20261121);

const users = ['@alice:one.example', '@bob:two.example', '@carol:three.example', '@dave:one.example'] as const;
const userAt = (at: number): string => users[at % users.length] ?? users[0];

const step = stepOf({ prev: 5, target: 20, kind: 11 });

function play(version: string, steps: readonly Step[]): SignedRoom {
  const room = SignedRoom.open(version, users[0]);
  room.join(users[1]);
  room.join(users[2]);
  for (const { prev: back, actor, target, kind, level, ts } of steps) {
    const { events } = room;
    const prev = [...new Set(back.map((distance) => events.at(-1 - distance)?.eventId ?? ''))];
    const sender = userAt(actor);
    const other = userAt(target);
    const membership = (value: string, of: string): void =>
      void room.say({ type: 'm.room.member', sender, stateKey: of, content: { membership: value }, prev, ts });
    const state = (type: string, content: JsonObject): void =>
      void room.say({ type, sender, stateKey: '', content, prev, ts });
    if (kind <= 1) membership('join', sender);
    else if (kind === 2) membership('leave', other);
    else if (kind === 3) membership('ban', other);
    else if (kind === 4) membership('invite', other);
    else if (kind === 5) state('m.room.join_rules', { join_rule: level > 0 ? 'public' : 'invite' });
    else if (kind === 6) state('m.room.power_levels', levelsWith(room, prev, other, level));
    else if (kind === 7) state('m.room.topic', { topic: String(level) });
    else if (kind === 8) {
      const redacts = events[target % events.length]?.eventId ?? '';
      room.say({ type: 'm.room.redaction', sender, redacts, prev, ts });
    } else room.message(sender, `message ${ts}`, prev);
  }
  return room;
}

function levelsWith(room: SignedRoom, prev: readonly string[], user: string, level: number): JsonObject {
  const nid = room.stateBehind(prev).get('m.room.power_levels')?.get('') ?? 0;
  const listed = { ...(room.event(nid)?.content.users as JsonObject | undefined), [user]: level };
  if (room.rules.privilegedCreators) delete listed[users[0]];
  return { users: listed };
}

/** What a server found, by event ids. */
interface Findings {
  readonly rejected: readonly string[];
  readonly softFailed: readonly string[];
  readonly extremities: readonly string[];
  readonly before: Readonly<Record<string, Record<string, string>>>;
  readonly current: Readonly<Record<string, string>>;
}

function findings(rooms: TestRooms, room: SignedRoom): Findings {
  return rooms.read((snapshot) => {
    const { core } = rooms;
    const known = core.room(snapshot, room.roomId);
    if (known === undefined) throw new Error('the room is not there');
    const idOf = (nid: number): string => core.event(snapshot, nid as never)?.eventId ?? '';
    const named = (entries: readonly { type: string; stateKey: string; event: number }[]): Record<string, string> =>
      Object.fromEntries(
        entries
          .map(({ type, stateKey, event }): [string, string] => [`${type}|${stateKey}`, idOf(event)])
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      );
    const stored = room.events.map(({ eventId }) => {
      const event = core.eventById(snapshot, eventId);
      if (event === undefined) throw new Error('an event is not there');
      return event;
    });
    return {
      rejected: stored.filter(({ rejected }) => rejected).map(({ eventId }) => eventId),
      softFailed: stored.filter(({ softFailed }) => softFailed).map(({ eventId }) => eventId),
      extremities: core.stores.graph.extremities(snapshot, known.nid).map(idOf).sort(),
      before: Object.fromEntries(
        stored.map((event) => [event.eventId, named(core.stateEntries(snapshot, event.snapshot))]),
      ),
      current: named(core.currentState(snapshot, known.nid)),
    };
  });
}

/** What the oracle says, given which events were soft-failed. */
function expected(room: SignedRoom, softFailed: readonly string[]): Findings {
  const accepted = (id: string): boolean => !room.isRejected(id) && !softFailed.includes(id);
  const covered = new Set<string>();
  for (const { eventId, prevEvents } of room.events) {
    if (!accepted(eventId)) continue;
    const stack: string[] = [...prevEvents];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      covered.add(id);
      if (!accepted(id)) stack.push(...(room.event(room.nid(id))?.prevEvents ?? []));
    }
  }
  const ids = room.events.map(({ eventId }) => eventId);
  const extremities = ids.filter((id) => accepted(id) && !covered.has(id)).sort();
  return {
    rejected: ids.filter((id) => room.isRejected(id)),
    softFailed,
    extremities,
    before: Object.fromEntries(
      room.events.map(({ eventId, prevEvents }) => [eventId, room.ids(room.stateBehind(prevEvents))]),
    ),
    current: room.ids(room.stateBehind(extremities)),
  };
}

async function receiveAll(
  room: SignedRoom,
  order: readonly RoomEvent[],
  batch: number,
  how: { readonly inlineUpTo: number; readonly outliersFirst: boolean },
): Promise<Findings> {
  await using rooms = openTestRooms('one.example', undefined, how.inlineUpTo);
  if (how.outliersFirst) {
    const state = order.filter(({ stateKey }) => stateKey !== undefined);
    await rooms.core.input(roomIdOf(room.roomId), state, 'outlier');
    expect([...verifyRoomserver(rooms.db, 'one.example' as ServerName)]).toEqual([]);
  }
  for (let at = 0; at < order.length; at += batch) {
    await rooms.core.input(roomIdOf(room.roomId), order.slice(at, at + batch), 'live');
  }
  expect([...verifyRoomserver(rooms.db, 'one.example' as ServerName)]).toEqual([]);
  return findings(rooms, room);
}

describe('the full event graph', () => {
  test('every order of arrival ends in the verdicts, states, extremities and current state that the graph defines', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...roomVersions.keys()),
        fc.array(step, { minLength: 4, maxLength: 30 }),
        fc.infiniteStream(fc.nat(1000)),
        async (version, steps, random) => {
          const room = play(version, steps);
          const pick = (below: number): number => (random.next().value ?? 0) % below;
          const orders = [room.events, reorder(room.events, pick), reorder(room.events, pick)];
          for (const order of orders) {
            // With no room inside transactions, every resolution is prepared before.
            const inlineUpTo = order === room.events ? 500 : 0;
            const outliersFirst = order === orders.at(-1);
            const found = await receiveAll(room, order, 1 + pick(7), { inlineUpTo, outliersFirst });
            expect(found).toEqual(expected(room, found.softFailed));
          }
        },
      ),
      { seed, numRuns: runs },
    );
  }, 600_000);
});
