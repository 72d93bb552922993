/**
 * The control socket: commands that change a data folder reach the server that is running on it through a Unix-domain
 * socket (a named pipe on Windows) which only the user who runs the server may open. One connection is one call; messages
 * are lines of JSON: `{command, params}` in, any number of `{line}` and one `{result}` or `{error}` out.
 */
import { createHash } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf } from './util/error-text.ts';
import { type Result, err, ok } from './util/result.ts';

/** Runs one command; what it throws is told to the caller as a sentence. */
export type ControlCommand = (params: unknown, print: (line: string) => void) => Promise<unknown>;

/** Longest path that every system takes for a socket, in bytes. */
const maxSocketPath = 100;

/** Where the socket of a data folder is: inside it, unless its path is too long for a socket. */
const socketPath = (dataDir: string): string => {
  const inside = join(resolve(dataDir), 'control.sock');
  const hash = createHash('sha256').update(inside).digest('hex').slice(0, 16);
  if (process.platform === 'win32') return `\\\\.\\pipe\\neurite-${hash}`;
  const fitting = [inside, relative('', inside)].find((path) => Buffer.byteLength(path) <= maxSocketPath);
  return fitting ?? join(tmpdir(), `neurite-${hash}.sock`);
};

const send = (socket: Socket, message: object): void => {
  if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
};

const serveCall = async (socket: Socket, commands: Readonly<Record<string, ControlCommand>>): Promise<void> => {
  for await (const line of createInterface({ input: socket })) {
    try {
      const { command, params } = JSON.parse(line) as { command: string; params?: unknown };
      const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
      if (run === undefined) throw new Error(`The running server does not know the command ${command}.`);
      send(socket, { result: (await run(params, (text) => send(socket, { line: text }))) ?? null });
    } catch (error) {
      send(socket, { error: messageOf(error) });
    }
    socket.end();
    return;
  }
};

/** Serves the commands until `close`. The caller holds the data folder, so a socket left there is a dead one. */
export async function serveControl(
  dataDir: string,
  commands: Readonly<Record<string, ControlCommand>>,
): Promise<{ close(): Promise<void> }> {
  const path = socketPath(dataDir);
  if (process.platform !== 'win32') rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A caller that goes away in the middle has nobody to tell.
    socket.on('error', () => socket.destroy());
    serveCall(socket, commands).catch(() => socket.destroy());
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(path, () => {
      server.off('error', failed);
      listening();
    });
  });
  if (process.platform !== 'win32') chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Whether a server runs on a data folder. */
export async function isServed(dataDir: string): Promise<boolean> {
  const socket = connect(socketPath(dataDir));
  const served = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  return served.finally(() => socket.destroy());
}

/**
 * Calls the server that runs on a data folder.
 *
 * @returns its result, or a sentence why there is none
 */
export async function callControl(
  dataDir: string,
  command: string,
  params: unknown,
  print: (line: string) => void,
): Promise<Result<unknown, string>> {
  const socket = connect(socketPath(dataDir));
  try {
    await new Promise<void>((connected, failed) => {
      socket.once('connect', connected);
      socket.once('error', failed);
    });
    send(socket, { command, params });
    for await (const line of createInterface({ input: socket })) {
      const message = JSON.parse(line) as { line?: string; error?: string; result?: unknown };
      if (message.line !== undefined) print(message.line);
      else if (message.error !== undefined) return err(message.error);
      else return ok(message.result);
    }
    return err('The running server ended before it had answered.');
  } catch (error) {
    const cause = messageOf(error);
    return err(`The server that runs on this data folder cannot be reached: ${cause}.`);
  } finally {
    socket.destroy();
  }
}
