/** `neurite run`: starts the server, says what to do next, and stops it in order when told to. */
import type { App } from '../app-interface.ts';
import { type Config, publicBaseUrl } from '../config/index.ts';
import { serveControl } from '../control.ts';
import { openDataFolder } from '../storage/index.ts';
import { letYoungGenerationGrow } from '../util/garbage.ts';
import { controlCommands, startApp } from './app.ts';
import { CommandError, type ConfigOptions, configOf } from './options.ts';

/** A stop that takes longer is cut off. */
const stopLimitMs = 10_000;

const account = (config: Config, app: App): string[] => {
  switch (config.registration.mode) {
    case 'open':
      return ['Anyone who reaches it may make an account.'];
    case 'token':
      return [`To make an account in a client, give it the registration token  ${app.registrationToken ?? ''}`];
    case 'closed':
      return [];
  }
};

const welcome = (config: Config, app: App, dataDir: string): string =>
  [
    '',
    `Neurite runs as ${config.serverName}, at ${app.addresses.join(', ')}.`,
    `Clients take ${publicBaseUrl(config)} as the address of the homeserver.`,
    ...account(config, app),
    'To make one here:  neurite create-user NAME [--admin]',
    `All data is in ${dataDir}. Stop with Ctrl-C.`,
    '',
    '',
  ].join('\n');

/** Resolves with the first signal to stop; a second one ends the process at once. */
const untilStopped = (): Promise<void> =>
  new Promise((stopped) => {
    let asked = false;
    const stop = (): void => {
      if (asked) process.exit(1);
      asked = true;
      stopped();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  });

/** Runs the server until a signal stops it. @throws CommandError when the data folder cannot be had */
export const run = async (options: ConfigOptions): Promise<void> => {
  const config = configOf(options);
  const folder = openDataFolder(config.dataDir, config.serverName);
  if (!folder.ok) throw new CommandError(folder.error.message);
  const stopped = untilStopped();
  const app = await startApp(config);
  letYoungGenerationGrow();
  const control = await serveControl(folder.value.path, controlCommands(app));
  if (config.log.format === 'text') process.stdout.write(welcome(config, app, folder.value.path));
  await stopped;
  setTimeout(() => process.exit(1), stopLimitMs).unref();
  await control.close();
  await app.close();
  folder.value.release();
  process.exit(0);
};
