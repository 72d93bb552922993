/** `neurite init`: writes a configuration file to start from, and makes the data folder. */
import { writeFileSync } from 'node:fs';
import { renderConfig } from '../config/index.ts';
import { openDataFolder } from '../storage/index.ts';
import { messageOf } from '../util/error-text.ts';
import { CommandError, type ConfigOptions, configFrom, defaultConfigFile } from './options.ts';

/** Writes the file, with every key documented and those given as options set. @throws CommandError if it is there */
export const init = (options: ConfigOptions): void => {
  const { config: file = defaultConfigFile } = options;
  const config = configFrom(undefined, options);
  const given = { server_name: config.serverName, data_dir: config.dataDir };
  try {
    // A file that is there is somebody's work.
    writeFileSync(file, renderConfig(given), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const cause = messageOf(error);
    throw new CommandError(`The configuration file cannot be written: ${cause}.`);
  }
  const folder = openDataFolder(config.dataDir, config.serverName);
  if (!folder.ok) throw new CommandError(folder.error.message);
  folder.value.release();
  process.stdout.write(`Wrote ${file} and made ${folder.value.path}. Next:  neurite run --config ${file}\n`);
};
