/**
 * How costs grow: the same request at three sizes or more, and the exponent of the line through them (0: the size does
 * not matter, 1: as the size). Every figure is what a client sees, the way to the server and back included.
 */
import { fillHistory, fillMembers, fillRooms } from './fill.ts';
import { exponent, median, ownRow, type Row, type Unit } from './rows.ts';
import { enc, repeated, send, timed, v3 } from './scenario.ts';
import { account, many, type Client, type OwnTarget } from './target.ts';

export interface GrowthSizes {
  readonly rooms: readonly number[];
  readonly members: readonly number[];
  readonly history: readonly number[];
  readonly changes: readonly number[];
}

/** The sizes of a full run times `scale`. */
export const growthSizes = (scale: number): GrowthSizes => {
  const scaled = (...sizes: number[]): number[] => sizes.map((size) => Math.max(2, Math.round(size * scale)));
  return {
    rooms: scaled(300, 1000, 5000),
    members: scaled(200, 2000, 20_000),
    history: scaled(1000, 10_000, 100_000).map((size) => Math.max(size, 100)),
    changes: scaled(10, 100, 1000),
  };
};

interface Growth {
  readonly name: string;
  readonly axis: string;
  readonly unit: Unit;
  readonly sizes: readonly number[];
  /** Takes the figure at one of the sizes. */
  measure(index: number): Promise<number>;
}

interface UserOfRooms {
  readonly user: Client;
  readonly friend: Client;
  readonly roomIds: readonly string[];
  token: string;
}

const at = <T>(list: readonly T[], index: number): T => {
  const value = list[index];
  if (value === undefined) throw new Error(`nothing at ${index}`);
  return value;
};

async function usersOfRooms(target: OwnTarget, sizes: readonly number[]): Promise<UserOfRooms[]> {
  const pairs = await many(sizes.length, async () => ({ user: await account(target), friend: await account(target) }));
  const roomIds = await target.fill(async (modules) => {
    const lists: string[][] = [];
    for (const [index, { user, friend }] of pairs.entries())
      lists.push(await fillRooms(modules, friend.userId, user.userId, at(sizes, index)));
    return lists;
  });
  return pairs.map((pair, index) => ({ ...pair, roomIds: at(roomIds, index), token: '' }));
}

let variation = 0;

/** A new filter each time: no answer is a repeated one. */
async function initialSync({ user, roomIds }: UserOfRooms): Promise<string> {
  variation += 1;
  const filter = { room: { timeline: { limit: 10, not_types: [`x.${variation}`] } } };
  const answer = await user.sync(undefined, 0, filter);
  const count = Object.keys(answer.rooms?.join ?? {}).length;
  if (count !== roomIds.length) throw new Error(`initial sync held ${count} of ${roomIds.length} rooms`);
  return answer.next_batch;
}

/** Time of an incremental sync after a message in each of the first `count` rooms, in ms. */
async function syncChanges(of: UserOfRooms, count: number, from = 0): Promise<number> {
  const changed = Array.from({ length: count }, (_, index) => at(of.roomIds, (from + index) % of.roomIds.length));
  const events = await many(count, (index) => send(of.friend, at(changed, index)), 16);
  return timed(async () => {
    const answer = await of.user.sync(of.token, 0);
    of.token = answer.next_batch;
    const seen = changed.filter((room, index) =>
      answer.rooms?.join?.[room]?.timeline?.events.some(({ event_id: id }) => id === events[index]),
    ).length;
    const rooms = Object.keys(answer.rooms?.join ?? {}).length;
    if (seen !== count || rooms !== count) throw new Error(`${seen} of ${count} changes in ${rooms} rooms`);
  });
}

async function overRooms(target: OwnTarget, { rooms, changes }: GrowthSizes): Promise<Growth[]> {
  const users = await usersOfRooms(target, rooms);
  const most = at(users, users.length - 1);
  for (const of of users) of.token = await initialSync(of);
  let turn = 0;
  return [
    {
      ...{ name: 'incremental sync, one room changed', axis: 'rooms', unit: 'ms', sizes: rooms },
      measure: async (index) => {
        const of = at(users, index);
        of.token = await initialSync(of);
        const values: number[] = [];
        for (let count = 0; count < 25; count += 1) values.push(await syncChanges(of, 1, (turn += 1)));
        return median(values);
      },
    },
    {
      ...{ name: 'initial sync', axis: 'rooms', unit: 'ms', sizes: rooms },
      measure: (index) => timed(() => initialSync(at(users, index))),
    },
    {
      ...{ name: 'incremental sync of many rooms', axis: 'changes', unit: 'ms', sizes: changes },
      measure: async (index) => {
        const values: number[] = [];
        most.token = await initialSync(most);
        for (let count = 0; count < 5; count += 1) values.push(await syncChanges(most, at(changes, index)));
        return median(values);
      },
    },
  ];
}

async function overMembers(target: OwnTarget, { members }: GrowthSizes): Promise<Growth[]> {
  const owner = await account(target);
  const rooms = await target.fill(async (modules) => {
    const ids: string[] = [];
    for (const count of members) ids.push(await fillMembers(modules, owner.userId, count));
    return ids;
  });
  return [
    {
      ...{ name: '/members', axis: 'members', unit: 'ms', sizes: members },
      measure: (index) =>
        repeated(7, async () => {
          const answer = await owner.must('GET', `${v3}/rooms/${enc(at(rooms, index))}/members`);
          const { length } = answer['chunk'] as unknown[];
          if (length !== members[index]) throw new Error(`/members held ${length}`);
        }),
    },
    {
      ...{ name: 'send', axis: 'members', unit: 'ms', sizes: members },
      measure: (index) => repeated(60, () => send(owner, at(rooms, index))),
    },
    {
      ...{ name: 'join and leave', axis: 'members', unit: 'ms', sizes: members },
      measure: async (index) => {
        const newcomer = await account(target);
        return repeated(10, async () => {
          await newcomer.join(at(rooms, index));
          await newcomer.must('POST', `${v3}/rooms/${enc(at(rooms, index))}/leave`, {});
        });
      },
    },
  ];
}

async function overHistory(target: OwnTarget, { history }: GrowthSizes): Promise<Growth[]> {
  const owner = await account(target);
  const rooms = await target.fill(async (modules) => {
    const made: { room: string; middle: string }[] = [];
    for (const count of history) made.push(await fillHistory(modules, owner.userId, count));
    return made;
  });
  const tokens: string[] = [];
  for (const { room, middle } of rooms) {
    const context = await owner.must('GET', `${v3}/rooms/${enc(room)}/context/${enc(middle)}?limit=0`);
    tokens.push(context['start'] as string);
  }
  return [
    {
      ...{ name: '/messages, 20 from the middle', axis: 'history', unit: 'ms', sizes: history },
      measure: (index) =>
        repeated(40, async () => {
          const query = `dir=b&limit=20&from=${enc(at(tokens, index))}`;
          const answer = await owner.must('GET', `${v3}/rooms/${enc(at(rooms, index).room)}/messages?${query}`);
          if ((answer['chunk'] as unknown[]).length !== 20) throw new Error('a page has not 20 events');
        }),
    },
    {
      ...{ name: 'send', axis: 'history', unit: 'ms', sizes: history },
      measure: (index) => repeated(60, () => send(owner, at(rooms, index).room)),
    },
  ];
}

const groups = { rooms: overRooms, members: overMembers, history: overHistory };

/** Measures each growth `rounds` times, the sizes in turns; a row for each size and one for the exponent. */
export async function measureGrowth(
  target: OwnTarget,
  sizes: GrowthSizes,
  rounds: number,
  only: string | undefined,
  onRow: (row: Row) => void,
): Promise<void> {
  for (const [group, prepare] of Object.entries(groups)) {
    if (only !== undefined && !group.includes(only)) continue;
    for (const growth of await prepare(target, sizes)) {
      const figures = growth.sizes.map((): number[] => []);
      const exponents: number[] = [];
      // The first round warms up.
      for (let round = -1; round < rounds; round += 1) {
        const points: [number, number][] = [];
        for (const [index, size] of growth.sizes.entries()) {
          const cost = await growth.measure(index);
          points.push([size, cost]);
          if (round >= 0) figures[index]?.push(cost);
        }
        if (round >= 0) exponents.push(exponent(points));
      }
      for (const [index, size] of growth.sizes.entries())
        onRow(ownRow(`${growth.name}: ${size} ${growth.axis}`, growth.unit, figures[index] ?? []));
      onRow(ownRow(`${growth.name}: growth over ${growth.axis}`, 'exponent', exponents));
    }
  }
}
