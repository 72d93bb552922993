/**
 * `neurite verify`: recomputes what is stored from what it was made from, and names each difference. It only reads, and may
 * run beside the server; `--repair` first has what is derived made anew, by the server if one runs.
 */
import type { ServerName } from '../matrix/ids.ts';
import { readDataFolder } from '../storage/index.ts';
import { isServed } from '../control.ts';
import { runOnData } from './app.ts';
import { CommandError, type ConfigOptions, configOf } from './options.ts';

export interface VerifyOptions extends ConfigOptions {
  readonly repair?: boolean;
}

/** Prints each difference as a line. @throws CommandError when there is any (left) */
export const verify = async (options: VerifyOptions): Promise<void> => {
  const config = configOf(options);
  const folder = readDataFolder(config.dataDir, config.serverName);
  if (!folder.ok) throw new CommandError(folder.error.message);
  const { verifyData, wrongConsumers } = await import('../verify.ts');
  const serverName = config.serverName as ServerName;
  const skipped = new Set<string>();
  const following = { wait: await isServed(config.dataDir), onSkipped: (name: string) => void skipped.add(name) };
  if (options.repair === true) {
    const wrong = await wrongConsumers(folder.value, serverName, following);
    await runOnData(config, 'repair', wrong, (line) => void process.stdout.write(`Made anew: ${line}\n`));
  }
  let differences = 0;
  for await (const line of verifyData(folder.value, serverName, following)) {
    differences++;
    process.stdout.write(`${line}\n`);
  }
  for (const name of skipped) process.stderr.write(`Not compared, for it lags behind the log: ${name}.\n`);
  if (differences > 0)
    throw new CommandError(`${differences} ${differences === 1 ? 'difference' : 'differences'} found.`);
  process.stdout.write('No difference found.\n');
};
