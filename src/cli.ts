/** The command line. Each command is a file of its own in commands/; the server itself is loaded only by those that need it. */
import { Command } from 'commander';
import { createUser, type CreateUserOptions } from './commands/create-user.ts';
import { init } from './commands/init.ts';
import {
  CommandError,
  type ConfigOptions,
  configOf,
  defaultConfigFile,
  withConfigOptions,
} from './commands/options.ts';
import { partialRooms, type PartialOptions } from './commands/rooms.ts';
import { run } from './commands/run.ts';
import { verify, type VerifyOptions } from './commands/verify.ts';
import type { ServerName } from './matrix/ids.ts';
import { version } from './util/package-files.ts';
import { letYoungGenerationGrow } from './util/garbage.ts';

const program = new Command('neurite')
  .description('A complete Matrix homeserver in one process with one file. Without a command it runs.')
  .version(version, '-V, --version')
  .showHelpAfterError();

withConfigOptions(program.command('run', { isDefault: true }))
  .description('start the server')
  .option('-l, --listen <host:port>', 'listen here, and nowhere else')
  .action((options: ConfigOptions) => run(options));

program
  .command('init')
  .description('write a configuration file to start from, and make the data folder')
  .option('-c, --config <file>', 'file to write', defaultConfigFile)
  .option('-d, --data <dir>', 'data folder')
  .option('-n, --server-name <name>', 'name of this server')
  .action((options: ConfigOptions) => init(options));

withConfigOptions(program.command('check-config'))
  .description('say what is wrong with the configuration')
  .action(async (options: ConfigOptions) => {
    const { appservices, serverName } = configOf(options);
    (await import('./appservice/index.ts')).loadServices(appservices, serverName as ServerName);
    process.stdout.write('The configuration is valid.\n');
  });

withConfigOptions(program.command('create-user'))
  .description('make an account; prints a password unless one is given')
  .argument('<name>', 'the part before the colon: alice for @alice:example.org')
  .option('-a, --admin', 'make it an administrator')
  .option('--password-stdin', 'take the password from standard input')
  .action((name: string, options: CreateUserOptions) => createUser(name, options));

withConfigOptions(program.command('verify'))
  .description('check everything stored against what it was made from; only reads')
  .option('--repair', 'first make what is derived anew where it differs')
  .action((options: VerifyOptions) => verify(options));

withConfigOptions(program.command('rooms').description('look after rooms').command('partial'))
  .description('list rooms that were joined without their members and wait for them')
  .option('--retry [room]', 'try again now, for one room or for all')
  .option('--abort <room>', 'give a room up: the users of this server leave it')
  .action((options: PartialOptions) => partialRooms(options));

program
  .command('version')
  .description('print the version')
  .action(() => {
    process.stdout.write(`neurite ${version} on Node ${process.versions.node}\n`);
  });

/** Errors that say all there is to say: ours, a newer schema, registrations, a taken port. */
const isPlain = (error: unknown): error is Error =>
  error instanceof CommandError ||
  (error instanceof Error &&
    (/^(Migration|Registration)Error$/.test(error.name) || ('code' in error && error.code === 'EADDRINUSE')));

// The server says itself when it has started; no other command is there for long.
program.hook('preAction', (_, command) => {
  if (command.name() !== 'run') letYoungGenerationGrow();
});

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(
    isPlain(error)
      ? `neurite: ${error.message}\n`
      : `neurite: ${String(error instanceof Error ? error.stack : error)}\n`,
  );
  process.exit(1);
}
