/** The stage of a file of tests of rooms that are joined without their members. */
import { afterAll, beforeAll, expect } from '@jest/globals';
import { PartialStage } from './partial-scene.ts';
import type { ServersOptions } from './servers.ts';

/** A stage that is open while the tests of the file run; at the end nothing on it may be at fault. */
export function usePartialStage(options: ServersOptions = {}): PartialStage {
  const stage = new PartialStage();
  beforeAll(() => stage.open(options), 60_000);
  afterAll(async () => {
    const faults = await stage.faults();
    await stage[Symbol.asyncDispose]();
    expect(faults).toEqual([]);
  }, 30_000);
  return stage;
}
