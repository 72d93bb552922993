/**
 * Listeners: one express router each, with the kernel as its only middleware, and the way they end: no new
 * connections, parked requests answered with what they have, the rest finished within the time given.
 */
import express from 'express';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Listener } from '../config/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { Logger } from '../util/log.ts';
import { type CertificateFiles, CertificateWatch, readCertificate } from './certificate.ts';
import type { Kernel } from './kernel.ts';
import { refuseRaw } from './reply.ts';
import type { SocketGate } from './socket.ts';

// An import would read all that the module exports, its WebSocket too, and so load Node's own copy of undici (4 MB).
const { createServer: createHttpServer } = process.getBuiltinModule('node:http');

/** Longer than reverse proxies keep theirs, so that they are the ones to close an idle connection. */
const keepAliveMs = 75_000;
/** When all requests are done: how long the network may take to carry the last answers away. */
const flushMs = 500;
const serverOptions: ServerOptions = {
  keepAliveTimeout: keepAliveMs,
  headersTimeout: 20_000,
  // The whole body of a large upload over a slow line; silence in the middle of one ends it sooner (stream.ts).
  requestTimeout: 3_600_000,
  maxHeaderSize: 32 * 1024,
};

export interface HttpServerOptions {
  readonly kernel: Kernel;
  readonly sockets: SocketGate;
  readonly listeners: readonly Listener[];
  readonly log: Logger;
}

export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #servers: Server[] = [];
  readonly #certificates: CertificateWatch[] = [];

  private constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** Binds all listeners, or none. @throws Error in one sentence when an address can't be bound */
  static async start(options: HttpServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options);
    try {
      for (const listener of options.listeners) await server.#listen(listener);
    } catch (error) {
      await server.stop(0);
      throw error;
    }
    return server;
  }

  /** The addresses bound, as URLs, in the order of the listeners. */
  get urls(): string[] {
    return this.#servers.map((server, index) => {
      const { address, family, port } = server.address() as AddressInfo;
      const scheme = this.#options.listeners[index]?.tls === undefined ? 'http' : 'https';
      return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
    });
  }

  /** Ends all service within `graceMs`; what is not done by then is cut. */
  async stop(graceMs: number): Promise<void> {
    const { kernel, sockets } = this.#options;
    for (const certificate of this.#certificates) certificate[Symbol.dispose]();
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([Promise.all([kernel.stop(), sockets.stop()]), late]);
    for (const server of this.#servers) server.closeIdleConnections();
    // What is still open has its answer in flight, or never asked anything.
    let flushed: NodeJS.Timeout | undefined;
    const soon = new Promise<void>((resolve) => (flushed = setTimeout(resolve, flushMs)));
    await Promise.race([Promise.all(closed), soon, late]);
    clearTimeout(timer);
    clearTimeout(flushed);
    sockets.terminate();
    for (const server of this.#servers) server.closeAllConnections();
    await Promise.all(closed);
  }

  async #listen(listener: Listener): Promise<void> {
    const { kernel, sockets, log } = this.#options;
    const table = kernel.table(listener.resources);
    const socketTable = sockets.table(listener.resources);
    const answer = routerOf((request, response) => void kernel.handle(table, request, response));
    const server =
      listener.tls === undefined ? createHttpServer(serverOptions, answer) : this.#secure(listener.tls, answer);
    server.on('upgrade', (request, stream, head) => void sockets.upgrade(socketTable, request, stream, head));
    server.on('clientError', refuseBroken);
    await bind(server, listener);
    this.#servers.push(server);
    log.info({ address: listener.address, port: (server.address() as AddressInfo).port }, 'listening');
  }

  #secure(files: CertificateFiles, answer: RequestListener): Server {
    const certificate = readCertificate(files);
    const server = createHttpsServer({ ...serverOptions, ...certificate }, answer);
    this.#certificates.push(new CertificateWatch(server, files, certificate, this.#options.log));
    return server;
  }
}

/**
 * An express router with one middleware. A whole application would give every request and response another prototype,
 * which takes longer than the kernel does and slows down whatever is done with them afterwards.
 */
function routerOf(handle: RequestListener): RequestListener {
  const router = express.Router();
  router.use(handle);
  // Without an application in between, a router takes what Node's server hands over.
  const listener = router as unknown as (...args: [...Parameters<RequestListener>, next: () => void]) => void;
  return (request, response) => listener(request, response, () => handle(request, response));
}

function bind(server: Server, { address, port }: Listener): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const reason = error.code === 'EADDRINUSE' ? 'another program listens there' : error.message;
      reject(new Error(`cannot listen on ${address} port ${port}: ${reason}`, { cause: error }));
    };
    server.once('error', onError);
    server.listen(port, address, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

/** What is no HTTP at all, or has headers without end, gets its answer before the connection is closed. */
function refuseBroken(error: NodeJS.ErrnoException, stream: Duplex): void {
  if (!stream.writable || error.code === 'ECONNRESET') return void stream.destroy();
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
  refuseRaw(stream, status, matrixError.unknown('The request is not understood'));
}
