/**
 * The network between server processes of one machine: a TCP relay before each server, which knows by /proc (Linux) which
 * process a connection comes from, so that single directions between two servers can be cut.
 */
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class Links implements AsyncDisposable {
  readonly #relays: Server[] = [];
  readonly #pids = new Map<number, number>();
  readonly #open = new Set<{ readonly from: number; readonly to: number; readonly ends: readonly Socket[] }>();
  /** `from>to` of the cut directions. */
  readonly #cuts = new Set<string>();

  /** The relay on `port` leads to the server `index`, which listens on `target`. */
  async relay(index: number, port: number, target: number): Promise<void> {
    const server = createServer((socket) => void this.#accept(index, target, socket));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#relays.push(server);
  }

  /** The server `index` runs as this process from now on. */
  runsAs(index: number, pid: number): void {
    this.#pids.set(index, pid);
  }

  /** Nothing goes from one server to the other any more; connections break. */
  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
    for (const { from: source, to: target, ends } of this.#open) {
      if (source === from && target === to) for (const end of ends) end.destroy();
    }
  }

  heal(): void {
    this.#cuts.clear();
  }

  async #accept(to: number, target: number, socket: Socket): Promise<void> {
    socket.on('error', () => socket.destroy());
    let from = await this.#sourceOf(socket);
    // A look at /proc is not one at one moment: a row may be missed while others come and go.
    for (let look = 0; from === undefined && look < 50 && !socket.destroyed; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      from = await this.#sourceOf(socket);
    }
    if (from === undefined || this.#cuts.has(`${from}>${to}`)) return void socket.destroy();
    const onward = connect({ host: '127.0.0.1', port: target });
    onward.on('error', () => onward.destroy());
    const link = { from, to, ends: [socket, onward] };
    this.#open.add(link);
    for (const end of link.ends) {
      end.on('close', () => {
        this.#open.delete(link);
        for (const each of link.ends) each.destroy();
      });
    }
    socket.pipe(onward);
    onward.pipe(socket);
  }

  /** Which of our processes holds the other end of a connection. */
  async #sourceOf({ remotePort }: Socket): Promise<number | undefined> {
    if (remotePort === undefined) return undefined;
    const local = `0100007F:${remotePort.toString(16).toUpperCase().padStart(4, '0')}`;
    const row = (await readFile('/proc/net/tcp', 'latin1'))
      .split('\n')
      .find((line) => line.trim().split(/\s+/)[1] === local);
    const inode = row?.trim().split(/\s+/)[9];
    for (const [index, pid] of this.#pids) {
      const folder = `/proc/${pid}/fd`;
      const files = await readdir(folder).catch(() => []);
      const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
      if (targets.includes(`socket:[${inode}]`)) return index;
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { ends } of this.#open) for (const end of ends) end.destroy();
    await Promise.all(
      this.#relays.map(async (relay) => {
        relay.close();
        await once(relay, 'close');
      }),
    );
  }
}
