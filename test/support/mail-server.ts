/** A mail server on this machine that keeps what it is sent, or refuses it as it is told. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface TakenMail {
  readonly from: string;
  readonly to: string;
  /** Headers and body as they came, lines joined by `\n`. */
  readonly source: string;
}

export interface TestMailServer extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly TakenMail[];
  /** Resolves with all mails when there are this many. */
  taken(count: number): Promise<readonly TakenMail[]>;
  /** The reply to the next recipient, such as `550 no such user`; it is used once. */
  refuse(reply: string): void;
}

export async function startMailServer(): Promise<TestMailServer> {
  const mails: TakenMail[] = [];
  const refusals: string[] = [];
  const sockets = new Set<Socket>();
  const waiting: { count: number; resolve: () => void }[] = [];
  const take = (mail: TakenMail): void => {
    mails.push(mail);
    for (const { count, resolve } of waiting) if (mails.length >= count) resolve();
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    void converse(socket, refusals, take);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    mails,
    taken: async (count) => {
      if (mails.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }));
      return mails;
    },
    refuse: (reply) => void refusals.push(reply),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const addressIn = (line: string): string => /<([^>]*)>/.exec(line)?.[1] ?? '';

async function converse(socket: Socket, refusals: string[], take: (mail: TakenMail) => void): Promise<void> {
  const say = (line: string): void => void socket.write(`${line}\r\n`);
  let from = '';
  let to = '';
  let data: string[] | undefined;
  say('220 localhost ready');
  for await (const line of createInterface({ input: socket })) {
    if (data !== undefined) {
      if (line !== '.') data.push(line.replace(/^\.\./, '.'));
      else {
        take({ from, to, source: data.join('\n') });
        data = undefined;
        say('250 taken');
      }
      continue;
    }
    const command = line.slice(0, 4).toUpperCase();
    if (command === 'MAIL') from = addressIn(line);
    if (command === 'RCPT') to = addressIn(line);
    if (command === 'DATA') data = [];
    const refusal = command === 'RCPT' ? refusals.shift() : undefined;
    say(refusal ?? (command === 'DATA' ? '354 go on' : command === 'QUIT' ? '221 bye' : '250 ok'));
  }
}
