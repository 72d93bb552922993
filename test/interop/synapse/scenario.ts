/** What a scenario is. */
import type { Side } from './sides.ts';

export interface Scenario {
  readonly name: string;
  run(): Promise<void>;
}

/** Makes a scenario of each direction: the room is on `host`, `guest` comes from the other server. */
export type Both = (name: string, run: (host: Side, guest: Side) => Promise<void>) => readonly Scenario[];

export const bothWays =
  (neurite: Side, synapse: Side): Both =>
  (name, run) => [
    { name: `${name}, from Neurite to Synapse`, run: () => run(neurite, synapse) },
    { name: `${name}, from Synapse to Neurite`, run: () => run(synapse, neurite) },
  ];
