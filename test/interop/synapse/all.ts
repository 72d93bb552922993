/** Every scenario that the two servers go through. */
import { netsplitScenarios } from './netsplit.ts';
import { passingScenarios } from './passing.ts';
import { readingScenarios } from './reading.ts';
import { commonVersions, roomScenarios } from './rooms.ts';
import { bothWays, type Scenario } from './scenario.ts';
import type { Side } from './sides.ts';

export async function allScenarios(neurite: Side, synapse: Side): Promise<readonly Scenario[]> {
  const both = bothWays(neurite, synapse);
  const versions = await commonVersions([neurite, synapse]);
  return [
    ...roomScenarios(versions, both),
    ...readingScenarios(both),
    ...passingScenarios(both),
    ...netsplitScenarios(versions, neurite, synapse),
  ];
}
