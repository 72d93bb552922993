/** Options that all commands share, and the configuration that follows from them. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { type Config, formatFault, loadConfig } from '../config/index.ts';

export interface ConfigOptions {
  readonly config?: string;
  readonly data?: string;
  readonly serverName?: string;
  readonly listen?: string;
  readonly set?: readonly string[];
}

/** Read from the working directory when no other file is named. */
export const defaultConfigFile = 'neurite.yaml';

/** What the user must be told; the command ends with status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** Adds the options that decide the configuration. */
export const withConfigOptions = (command: Command): Command =>
  command
    .option('-c, --config <file>', `configuration file (default: ${defaultConfigFile}, if there is one)`)
    .option('-d, --data <dir>', 'data folder')
    .option('-n, --server-name <name>', 'name of this server')
    .option('-s, --set <path=value>', 'set any key, such as log.level=debug; may be repeated', collect, []);

/** The configuration of a command. @throws CommandError that lists every fault */
export const configOf = (options: ConfigOptions): Config => {
  const file = options.config ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  return configFrom(file, options);
};

/** The same with this file, or none. @throws CommandError that lists every fault */
export const configFrom = (file: string | undefined, options: Omit<ConfigOptions, 'config'>): Config => {
  const { data, serverName, listen, set } = options;
  const loaded = loadConfig({ file, env: process.env, sets: set ?? [], flags: { data, serverName, listen } });
  if (!loaded.ok) {
    throw new CommandError(['The configuration has faults:', ...loaded.error.map(formatFault)].join('\n  '));
  }
  return loaded.value;
};
