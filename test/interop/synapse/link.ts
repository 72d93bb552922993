/** What others reach a server by: a port that passes connections on, and that can be cut. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Link extends AsyncDisposable {
  readonly port: number;
  /** Where connections go; set before the first one. */
  target: number;
  /** Ends what is open and refuses what comes. */
  cut(): void;
  heal(): void;
}

export async function openLink(): Promise<Link> {
  const open = new Set<Socket>();
  let whole = true;
  const server = createServer((incoming) => {
    if (!whole) {
      incoming.destroy();
      return;
    }
    const outgoing = connect(link.target, '127.0.0.1');
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const drop = (): void => open.forEach((socket) => socket.destroy());
  const link: Link = {
    port: (server.address() as AddressInfo).port,
    target: 0,
    cut: () => {
      whole = false;
      drop();
    },
    heal: () => {
      whole = true;
    },
    async [Symbol.asyncDispose]() {
      drop();
      server.close();
      await once(server, 'close');
    },
  };
  return link;
}
