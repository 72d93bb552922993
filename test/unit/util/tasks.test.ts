import { expect, test } from '@jest/globals';
import { createLogger } from '../../../src/util/log.ts';
import { TaskRunner, type Task } from '../../../src/util/tasks.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const silent = createLogger({ level: 'silent', format: 'json' });
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const start = (
  ...tasks: readonly Task[]
): { clock: FakeClock; runner: TaskRunner; pass: (ms: number) => Promise<void> } => {
  const clock = new FakeClock();
  const runner = new TaskRunner({ clock, log: silent });
  for (const task of tasks) runner.add(task);
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await settle();
  };
  return { clock, runner, pass };
};

test('tasks start one after another and repeat with their own pause', async () => {
  const runs: string[] = [];
  const { runner, pass } = start(
    { name: 'a', everyMs: 10_000, run: () => void runs.push('a') },
    { name: 'b', everyMs: 60_000, run: () => void runs.push('b') },
    { name: 'once', run: () => void runs.push('once') },
  );
  await pass(500);
  expect(runs).toEqual(['a']);
  await pass(500);
  await pass(500);
  expect(runs).toEqual(['a', 'b', 'once']);
  await pass(9000);
  expect(runs).toEqual(['a', 'b', 'once', 'a']);
  expect(runner.size).toBe(2);
  await runner.stop();
  expect(runner.size).toBe(0);
});

test('a failed task is tried again, later and later, until it succeeds', async () => {
  let runs = 0;
  const { runner, pass } = start({
    name: 'a',
    run: () => {
      runs += 1;
      if (runs < 4) throw new Error('no');
    },
  });
  for (const ms of [500, 5000, 10_000, 20_000]) await pass(ms);
  expect([runs, runner.size]).toEqual([4, 0]);
});

test('stopping tells the task that runs and waits for it', async () => {
  const steps: string[] = [];
  const { runner, pass } = start({
    name: 'a',
    everyMs: 1000,
    run: async (signal) => {
      steps.push('begun');
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      steps.push('ended');
    },
  });
  await pass(500);
  await runner.stop();
  expect(steps).toEqual(['begun', 'ended']);
});
