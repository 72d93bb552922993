/**
 * `npm run test:interop -- [words of scenarios' names]`: this server and a real Synapse in one federation. Prints a line
 * per scenario and exits 1 when one failed. Where Synapse is not to be had, it says so and exits 0. Logs and data
 * are in `test/results/interop`.
 */
import { allScenarios } from './all.ts';
import type { Scenario } from './scenario.ts';
import { findSynapse, startSides } from './sides.ts';

const limitMs = 120_000;

async function passes(scenario: Scenario): Promise<boolean> {
  const started = performance.now();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('took too long')), limitMs);
  const fault = await Promise.race([scenario.run(), late]).then(
    () => undefined,
    (error: unknown) => error,
  );
  clearTimeout(timer);
  process.stdout.write(
    `${fault === undefined ? 'ok' : 'not ok'} ${scenario.name} (${Math.round(performance.now() - started)} ms)\n`,
  );
  for (let error = fault; error instanceof Error; error = error.cause) {
    process.stdout.write(`    ${error.message.replaceAll('\n', '\n    ')}\n`);
  }
  return fault === undefined;
}

const found = findSynapse();
if ('missing' in found) {
  process.stdout.write(`skipped: ${found.missing}\n`);
  process.exit(0);
}
const { neurite, synapse } = await startSides(found.python);
let failed = 0;
let count = 0;
try {
  const words = process.argv.slice(2);
  const all = await allScenarios(neurite, synapse);
  const scenarios = all.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
  for (const scenario of scenarios) {
    count += 1;
    if (!(await passes(scenario))) failed += 1;
  }
} finally {
  await neurite[Symbol.asyncDispose]();
  await synapse[Symbol.asyncDispose]();
}
process.stdout.write(`${count - failed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
