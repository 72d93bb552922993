/**
 * Connections to other servers: every endpoint of a route and every address of its name is tried in turn, each checked
 * against what the guard permits, and the certificate is demanded for the name that the route says (S-S API v1.19
 * §Resolving server names, §TLS). What was checked is what is connected to, so that a name server that changes its mind
 * (DNS rebinding) gains nothing.
 */
import { connect as netConnect, isIP, type Socket } from 'node:net';
import { rootCertificates, connect as tlsConnect, createSecureContext, getCACertificates } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import type { buildConnector } from 'undici';
import type { Endpoint, ServerRoute } from '../matrix/discovery.ts';
import type { AddressGuard } from '../util/address-guard.ts';
import { AddressRefused } from '../util/guarded-agent.ts';
import { LruCache } from '../util/lru.ts';
import type { Names } from './names.ts';

/** Opens a TCP connection to an address; tests put their own ports behind the well-known ones. */
export type Dial = (address: string, port: number) => Socket;

export interface ConnectorOptions {
  readonly guard: AddressGuard;
  readonly names: Names;
  /** PEM of certificate authorities that are trusted beside those of the system. */
  readonly extraCa: string | undefined;
  readonly dial?: Dial;
}

/** For one address. */
const attemptMs = 5000;
/** For all addresses of a route. */
const routeMs = 20_000;

/** Whom Node and the system trust. */
let authorities: readonly string[] | undefined;

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #dial: Dial;
  readonly #sessions = new LruCache<string, Buffer>({ max: 2000 });
  readonly #attempts = new Set<(error: Error) => void>();
  readonly #stopping = new AbortController();
  #context: SecureContext | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#dial = options.dial ?? ((address, port) => netConnect({ host: address, port, noDelay: true }));
  }

  /** Aborted when nothing is to be connected to any more. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Gives up what is being connected to, and refuses what comes. */
  close(): void {
    this.#stopping.abort();
    for (const fail of this.#attempts) fail(new Error('the server stops'));
  }

  /** Connects along a route, as undici asks for it: resolves as `#connect` does. */
  dialling(route: ServerRoute): buildConnector.connector {
    return (_options, callback) =>
      void this.#connect(route).then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
  }

  /** An open TLS connection whose certificate is right. @throws Error of the last attempt; AddressRefused */
  async #connect({ endpoints, tlsName }: ServerRoute): Promise<TLSSocket> {
    const until = performance.now() + routeMs;
    let failure: Error | undefined;
    for (const endpoint of endpoints) {
      for (const address of await this.#addressesOf(endpoint)) {
        const leftMs = Math.min(attemptMs, until - performance.now());
        if (this.#stopping.signal.aborted) throw new Error('the server stops');
        if (leftMs <= 0) throw failure ?? new Error(`no connection within ${routeMs} ms`);
        if (!this.#options.guard.permits(address, endpoint.port)) {
          failure ??= new AddressRefused(`${endpoint.host} leads to an address that is not permitted`);
          continue;
        }
        try {
          return await this.#attempt(address, endpoint.port, tlsName, leftMs);
        } catch (error) {
          failure = error as Error;
        }
      }
    }
    throw failure ?? new Error(`${endpoints.map(({ host }) => host).join(', ')}: no such host`);
  }

  async #addressesOf({ host }: Endpoint): Promise<readonly string[]> {
    return isIP(host) === 0 ? this.#options.names.addresses(host) : [host];
  }

  #attempt(address: string, port: number, tlsName: string, ms: number): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = this.#dial(address, port);
      let secure: TLSSocket | undefined;
      const fail = (error: Error): void => {
        clearTimeout(timer);
        this.#attempts.delete(fail);
        secure?.destroy();
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => fail(new Error(`${address} port ${port}: no connection in time`)), ms);
      this.#attempts.add(fail);
      socket.once('error', fail);
      socket.once('connect', () => {
        secure = this.#secure(socket, tlsName);
        secure.once('error', fail);
        secure.once('close', () => fail(new Error(`${address} port ${port}: closed during the handshake`)));
        secure.once('secureConnect', () => {
          clearTimeout(timer);
          this.#attempts.delete(fail);
          secure?.removeAllListeners('error').removeAllListeners('close');
          socket.off('error', fail);
          if (secure !== undefined) resolve(secure);
        });
      });
    });
  }

  #secure(socket: Socket, tlsName: string): TLSSocket {
    socket.setKeepAlive(true, 60_000);
    const session = this.#sessions.get(tlsName);
    const secure = tlsConnect({
      socket,
      host: tlsName,
      // SNI is for names only.
      ...(isIP(tlsName) === 0 ? { servername: tlsName } : {}),
      ...(session === undefined ? {} : { session }),
      secureContext: this.#secureContext(),
      ALPNProtocols: ['http/1.1'],
    });
    secure.on('session', (ticket: Buffer) => this.#sessions.set(tlsName, ticket));
    return secure;
  }

  /** Made on first use: reading some hundred certificates takes a while. */
  #secureContext(): SecureContext {
    if (this.#context !== undefined) return this.#context;
    const { extraCa } = this.#options;
    authorities ??= [
      ...new Set([...rootCertificates, ...getCACertificates('default'), ...getCACertificates('system')]),
    ];
    this.#context = createSecureContext({ ca: [...authorities, ...(extraCa === undefined ? [] : [extraCa])] });
    return this.#context;
  }
}
