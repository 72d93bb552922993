/** A push gateway on this machine: keeps what it is sent and answers as it is told. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PushedNotification {
  readonly event_id?: string;
  readonly room_id?: string;
  readonly counts: { readonly unread: number; readonly missed_calls?: number };
  readonly devices: readonly { readonly pushkey: string; readonly tweaks?: Record<string, unknown> }[];
  readonly [field: string]: unknown;
}

export interface GatewayReply {
  readonly status?: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TestGateway extends AsyncDisposable {
  readonly url: string;
  /** Every attempt, in order. */
  readonly attempts: readonly PushedNotification[];
  /** Those that were answered with the usual `{"rejected":[]}`, in order. */
  readonly taken: readonly PushedNotification[];
  /** Resolves when there were this many attempts. */
  attempted(count: number): Promise<void>;
  /** Replies to the next attempts; after them the usual one again. */
  reply(...replies: readonly (GatewayReply | 'hang')[]): void;
}

/** @param port 0: any free one */
export async function startPushGateway(port = 0): Promise<TestGateway> {
  const attempts: PushedNotification[] = [];
  const taken: PushedNotification[] = [];
  const replies: (GatewayReply | 'hang')[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { notification } = JSON.parse(Buffer.concat(pieces).toString()) as { notification: PushedNotification };
      attempts.push(notification);
      const reply = replies.shift();
      if (reply === undefined) taken.push(notification);
      if (reply !== 'hang') answer(response, reply ?? {});
      for (const { count, resolve } of waiting) if (attempts.length >= count) resolve();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/_matrix/push/v1/notify`,
    attempts,
    taken,
    attempted: async (count) => {
      if (attempts.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }));
    },
    reply: (...more) => void replies.push(...more),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function answer(
  response: ServerResponse,
  { status = 200, body = '{"rejected":[]}', headers = {} }: GatewayReply,
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body);
}
