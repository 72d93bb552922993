/**
 * WebSocket rows: the same table, token and limits as other rows, then an open connection that a module writes frames
 * to. A browser, which can't set headers, sends its token as the subprotocol `m.access_token.<token>` beside `m.json`,
 * or in the query.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { GenericSchema, InferOutput } from 'valibot';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { Logger } from '../util/log.ts';
import type { Admission } from './admission.ts';
import { accessTokenOf, type Query } from './auth-kinds.ts';
import { splitUrl, userAgentOf, type OpenSignals } from './context.ts';
import { errorReply } from './errors.ts';
import { pathsOf } from './kernel.ts';
import { refuseRaw } from './reply.ts';
import type { AuthKind, RateClass, RequestContext, Requester, Resource } from './route.ts';
import { RouteTrie, type Match } from './trie.ts';
import { validate } from './validate.ts';

/** An open connection as a module sees it. */
export interface Socket {
  /** Sends one text frame; resolves when the operating system has taken it, so that a slow client slows its sender. */
  send(text: string): Promise<void>;
  /** Calls `listener` with every text frame from the client. */
  onMessage(listener: (text: string) => void): void;
}

export type SocketContext<A extends AuthKind, Q> = Omit<
  RequestContext<A, Readonly<Record<string, string>>, Q, undefined>,
  'transaction' | 'shown' | 'body' | 'stream' | 'bodyText' | 'origin'
>;

export interface SocketRow {
  readonly path: string;
  readonly aliases: readonly string[];
  readonly auth: AuthKind;
  readonly rate: RateClass;
  readonly resources: readonly Resource[];
  readonly whileLocked: boolean;
  readonly refuseSuspended: boolean;
  readonly query: GenericSchema | undefined;
  readonly open: (context: SocketContext<AuthKind, unknown>, socket: Socket) => Promise<void>;
}

interface SocketSpec<A extends AuthKind, QS extends GenericSchema | undefined> {
  readonly path: string;
  readonly aliases?: readonly string[];
  readonly auth: A;
  readonly rate?: RateClass;
  readonly query?: QS;
  /**
   * Owns the connection until it returns; the socket is then closed. It ends soon after `signal` aborts (the client has
   * gone, or the server stops). A MatrixError is sent as a last frame.
   */
  readonly open: (
    context: SocketContext<A, QS extends GenericSchema ? InferOutput<QS> : Query>,
    socket: Socket,
  ) => Promise<void>;
}

/** Makes a WebSocket row. */
export const socketRoute = <A extends AuthKind, QS extends GenericSchema | undefined = undefined>(
  spec: SocketSpec<A, QS>,
): SocketRow => ({
  path: spec.path,
  aliases: spec.aliases ?? [],
  auth: spec.auth,
  rate: spec.rate ?? 'read',
  resources: ['client'],
  whileLocked: false,
  refuseSuspended: false,
  query: spec.query,
  // The gate hands over exactly what this row's auth kind and schema gave.
  open: spec.open as SocketRow['open'],
});

export interface SocketGateOptions {
  readonly rows: readonly SocketRow[];
  readonly admission: Admission;
  readonly openSignals: OpenSignals;
  readonly log: Logger;
}

const heartbeatMs = 30_000;
const tokenProtocol = 'm.access_token.';

export class SocketGate {
  readonly #options: SocketGateOptions;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: 64 * 1024,
    handleProtocols: (offered) => (offered.has('m.json') ? 'm.json' : false),
  });
  readonly #sockets = new Map<WebSocket, { alive: boolean }>();
  readonly #running = new Set<Promise<void>>();
  readonly #heartbeat: NodeJS.Timeout;
  #count = 0;
  #stopping = false;

  constructor(options: SocketGateOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    this.#heartbeat.unref();
  }

  /** Open connections. */
  get size(): number {
    return this.#sockets.size;
  }

  /** The rows of a listener that serves `resources`. */
  table(resources: readonly Resource[]): RouteTrie<SocketRow> {
    const trie = new RouteTrie<SocketRow>();
    for (const row of this.#options.rows) {
      if (!row.resources.some((resource) => resources.includes(resource))) continue;
      for (const path of pathsOf(row)) trie.add('GET', path, row);
    }
    return trie;
  }

  /** Answers one `upgrade` event of a server. Never rejects. */
  async upgrade(table: RouteTrie<SocketRow>, request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> {
    const onError = (): void => void stream.destroy();
    stream.on('error', onError);
    this.#count += 1;
    try {
      const { path, query } = splitUrl(request);
      const found = table.find('GET', path);
      if (found.kind !== 'match') throw matrixError.unrecognized();
      if (this.#stopping) throw new MatrixError(503, 'M_UNKNOWN', 'The server is stopping');
      const { row, context, controller } = await this.#admit(found, query, request);
      stream.off('error', onError);
      this.#server.handleUpgrade(request, stream, head, (socket) => {
        const work = this.#run(row, context, controller, socket).finally(() => this.#running.delete(work));
        this.#running.add(work);
      });
    } catch (error) {
      const { status, body } = errorReply(error, `socket-${this.#count}`, this.#options.log);
      refuseRaw(stream, `${status} Refused`, body);
    }
  }

  /** Waits until every connection has ended by itself; the signals must have been aborted. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#heartbeat);
    await Promise.all(this.#running);
  }

  /** Cuts what is still open. */
  terminate(): void {
    for (const socket of this.#sockets.keys()) socket.terminate();
  }

  async #admit({ value: row, params }: Match<SocketRow>, query: Query, request: IncomingMessage) {
    const { admission } = this.#options;
    const address = admission.addressOf(request);
    const accessToken = accessTokenOf(request, query) ?? protocolToken(request);
    const requester = await admission.admit(row, accessToken, query, request, address);
    const controller = new AbortController();
    const context: SocketContext<AuthKind, unknown> = {
      // The row's own type says whether there is one: its auth kind was checked before.
      requester: requester as Requester & undefined,
      params,
      query: validate(row.query, query, 'query'),
      signal: controller.signal,
      address,
      userAgent: userAgentOf(request),
      accessToken,
    };
    return { row, context, controller };
  }

  async #run(
    row: SocketRow,
    context: SocketContext<AuthKind, unknown>,
    controller: AbortController,
    socket: WebSocket,
  ): Promise<void> {
    const { openSignals, log } = this.#options;
    const state = { alive: true };
    this.#sockets.set(socket, state);
    openSignals.add(controller);
    if (this.#stopping) controller.abort();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('close', () => controller.abort());
    socket.on('error', () => socket.terminate());
    socket.on('pong', () => (state.alive = true));
    try {
      await row.open(context, frames(socket));
      socket.close(this.#stopping ? 1001 : 1000);
    } catch (error) {
      if (error instanceof MatrixError) {
        socket.send(JSON.stringify(error.toJSON()), () => socket.close(1008));
      } else if (socket.readyState === socket.OPEN) {
        log.error({ err: error, path: row.path }, 'a socket failed');
        socket.close(1011);
      }
    } finally {
      openSignals.delete(controller);
      await closed;
      this.#sockets.delete(socket);
    }
  }

  #beat(): void {
    for (const [socket, state] of this.#sockets) {
      if (!state.alive) socket.terminate();
      state.alive = false;
      socket.ping();
    }
  }
}

const frames = (socket: WebSocket): Socket => ({
  send: (text) => new Promise((resolve, reject) => socket.send(text, (error) => (error ? reject(error) : resolve()))),
  onMessage: (listener) =>
    void socket.on('message', (data: RawData, isBinary) => {
      if (!isBinary) listener(textOf(data));
    }),
});

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return (data instanceof ArrayBuffer ? Buffer.from(data) : data).toString('utf8');
}

function protocolToken(request: IncomingMessage): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.find((name) => name.startsWith(tokenProtocol))?.slice(tokenProtocol.length);
}
