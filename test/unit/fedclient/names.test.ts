import { expect, test } from '@jest/globals';
import { parseHosts } from '../../../src/fedclient/names.ts';
import { ServerFilter } from '../../../src/fedclient/server-filter.ts';
import { Gate } from '../../../src/util/gate.ts';

test('a hosts file gives all addresses of a name, whatever its case', () => {
  const names = parseHosts('# comment\n127.0.0.1\tlocalhost Box # me\n::1 localhost\nno address\n127.0.0.1 box\n');
  expect(Object.fromEntries(names)).toEqual({ localhost: ['127.0.0.1', '::1'], box: ['127.0.0.1'] });
});

test('lists of servers match names with and without their port', () => {
  const all = new ServerFilter({ allowServers: undefined, denyServers: ['*.evil.example', 'one.example:8'] });
  expect(
    ['a.example', 'x.evil.example', 'x.EVIL.example:99', 'evil.example', 'one.example', 'one.example:8'].map((name) =>
      all.permits(name),
    ),
  ).toEqual([true, false, false, true, true, false]);
  const few = new ServerFilter({ allowServers: ['?.example'], denyServers: [] });
  expect(['a.example', 'A.example:1', 'ab.example'].map((name) => few.permits(name))).toEqual([true, true, false]);
});

test('a gate lets only so many through at a time, in their order, also when some fail', async () => {
  const gate = new Gate(2);
  const order: string[] = [];
  let running = 0;
  const task = (name: string) => async (): Promise<void> => {
    running += 1;
    expect(running).toBeLessThanOrEqual(2);
    order.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (name === 'b') throw new Error('b');
  };
  const all = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((name) => gate.run(task(name))));
  expect(order).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
});
