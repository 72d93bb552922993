/** The server as commands use it, alone in this process or running in another one. */
import { type ControlCommand, callControl } from '../control.ts';
import type { App, NewUser, PartialWish } from '../app-interface.ts';
import type { Config } from '../config/index.ts';
import { openDataFolder } from '../storage/index.ts';
import { CommandError } from './options.ts';

/** What a running server does for commands, by name. */
export const controlCommands = (app: App): Record<'create-user' | 'repair' | 'partial-rooms', ControlCommand> => ({
  'create-user': (user) => app.createUser(user as NewUser),
  repair: (wrong, print) => app.repair(wrong as string[], print),
  'partial-rooms': (wish, print) => app.partialRooms(wish as PartialWish, print),
});

/** Loads the server only when it is needed: `version` and `check-config` answer without it. */
export const startApp = async (config: Config): Promise<App> => (await import('../app.ts')).startApp(config);

/**
 * Runs a command on the data folder: by the server that has it, or else by one that is started for this alone and listens
 * nowhere.
 *
 * @throws CommandError when the folder cannot be had or the command refuses
 */
export const runOnData = async (
  config: Config,
  name: keyof ReturnType<typeof controlCommands>,
  params: unknown,
  print: (line: string) => void,
): Promise<unknown> => {
  const folder = openDataFolder(config.dataDir, config.serverName);
  if (!folder.ok) {
    if (folder.error.reason !== 'in-use') throw new CommandError(folder.error.message);
    const answer = await callControl(config.dataDir, name, params, print);
    if (!answer.ok) throw new CommandError(answer.error);
    return answer.value;
  }
  try {
    const app = await startApp({ ...config, listeners: [], log: { ...config.log, level: 'error' } });
    try {
      return await controlCommands(app)[name](params, print);
    } finally {
      await app.close();
    }
  } finally {
    folder.value.release();
  }
};
