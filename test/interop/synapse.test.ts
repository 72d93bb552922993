/**
 * The short form of `npm run test:interop`: some of the scenarios with a real Synapse. It comes from the package index
 * into test/results/venv, once; where it cannot be had, one test is reported as skipped, with the reason.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allScenarios } from './synapse/all.ts';
import type { Scenario } from './synapse/scenario.ts';
import { findSynapse, startSides, type Side } from './synapse/sides.ts';

const limitMs = 120_000;
const directions = ['from Neurite to Synapse', 'from Synapse to Neurite'];
const titles = [
  ...[
    'a room of version 10 is joined, spoken in, changed and left',
    'a room of version 12 is joined, spoken in, changed and left',
    'an invite is seen and accepted',
    'a restricted room lets in who is in the other room',
    'history from before the join is fetched',
    'a receipt is shown',
    'a message to a device arrives once',
    'a new device is told of',
    'encrypted messages are read by every device, new ones too',
  ].flatMap((name) => directions.map((direction) => `${name}, ${direction}`)),
  'a netsplit in a room of version 10 heals',
];

const found = findSynapse();

if ('missing' in found) {
  test.skip(`a real Synapse and this server are one federation: ${found.missing}`, () => undefined);
} else {
  describe('a real Synapse and this server', () => {
    let sides: readonly Side[] = [];
    let scenarios: readonly Scenario[] = [];
    beforeAll(async () => {
      const { neurite, synapse } = await startSides(found.python);
      sides = [neurite, synapse];
      scenarios = await allScenarios(neurite, synapse);
    }, limitMs);
    afterAll(async () => {
      for (const side of sides) await side[Symbol.asyncDispose]();
    }, limitMs);

    test.each(titles)(
      '%s',
      async (title) => {
        const scenario = scenarios.find(({ name }) => name === title);
        expect(scenario?.name).toBe(title);
        await scenario?.run();
      },
      limitMs,
    );
  });
}
