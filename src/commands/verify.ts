/** `neurite verify`: recomputes what is stored from what it was made from, and names each difference. */
import { runOnData } from './app.ts';
import { CommandError, type ConfigOptions, configOf } from './options.ts';

/** Prints each difference as a line. @throws CommandError when there is any */
export const verify = async (options: ConfigOptions): Promise<void> => {
  let differences = 0;
  await runOnData(configOf(options), 'verify', null, (line) => {
    differences++;
    process.stdout.write(`${line}\n`);
  });
  if (differences > 0)
    throw new CommandError(`${differences} ${differences === 1 ? 'difference' : 'differences'} found.`);
  process.stdout.write('No difference found.\n');
};
