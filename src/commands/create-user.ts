/** `neurite create-user`: makes an account on the server that is running, or on the data folder when none is. */
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import type { NewUser } from '../app-interface.ts';
import { runOnData } from './app.ts';
import { CommandError, type ConfigOptions, configOf } from './options.ts';

export interface CreateUserOptions extends ConfigOptions {
  readonly admin?: boolean;
  readonly passwordStdin?: boolean;
}

const readPassword = async (): Promise<string> => {
  const [password = ''] = (await text(process.stdin)).split(/\r?\n/);
  if (password === '') throw new CommandError('Standard input holds no password.');
  return password;
};

/** Makes the account and prints its id, and its password when that was made here. @throws CommandError */
export const createUser = async (name: string, options: CreateUserOptions): Promise<void> => {
  const config = configOf(options);
  const password = options.passwordStdin === true ? await readPassword() : randomBytes(12).toString('base64url');
  const user: NewUser = { localpart: name, password, admin: options.admin ?? false };
  const userId = await runOnData(config, 'create-user', user, () => undefined);
  process.stdout.write(`Made ${String(userId)}${user.admin ? ', an administrator' : ''}.\n`);
  if (options.passwordStdin !== true) process.stdout.write(`Password: ${password}\n`);
};
