/** `neurite rooms partial`: rooms that were joined without their members, how far they are, and what to do about it. */
import type { PartialWish } from '../app-interface.ts';
import { runOnData } from './app.ts';
import { CommandError, type ConfigOptions, configOf } from './options.ts';

export interface PartialOptions extends ConfigOptions {
  /** A room id; true: all rooms. */
  readonly retry?: string | true;
  readonly abort?: string;
}

/** Prints a line for each partial room, or does what the options say. @throws CommandError */
export const partialRooms = async (options: PartialOptions): Promise<void> => {
  const { retry, abort } = options;
  if (retry !== undefined && abort !== undefined) throw new CommandError('Give --retry or --abort, not both.');
  const wish: PartialWish =
    abort !== undefined
      ? { action: 'abort', roomId: abort }
      : retry === undefined
        ? { action: 'list' }
        : { action: 'retry', ...(retry === true ? {} : { roomId: retry }) };
  await runOnData(configOf(options), 'partial-rooms', wish, (line) => process.stdout.write(`${line}\n`));
};
