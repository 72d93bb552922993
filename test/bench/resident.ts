/**
 * A server that keeps big rooms and answers what a joining server asks, over HTTPS on loopback, each answer delayed. Large
 * answers are put together once. It believes whatever it is sent, and asks nobody.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { writeKeyDocument } from '../../src/fedclient/key-document.ts';
import { type KeyPair, keyPairFromSeed } from '../../src/matrix/crypto/ed25519.ts';
import type { ServerName } from '../../src/matrix/ids.ts';
import { signRequest } from '../../src/matrix/xmatrix.ts';
import { freePort } from '../support/server-process.ts';
import { makeTestCa, type TestCa } from '../support/tls.ts';
import type { BigRoom } from './big-room.ts';

export interface ResidentOptions {
  /** Of each answer, in ms; default 50. */
  readonly delayMs?: number;
  /** The authority for its certificate; default: one of its own. */
  readonly ca?: TestCa;
}

/** The large answers of one room; without `auth_chain` where it would be empty. */
interface Answers {
  readonly room: BigRoom;
  readonly stateIds: Buffer;
  readonly state: Buffer;
  /** Of send_join, behind the join event. */
  readonly whole: Buffer;
  readonly brief: Buffer;
}

const list = (texts: readonly string[]): string => `[${texts.join(',')}]`;

export class Resident implements AsyncDisposable {
  readonly name: ServerName;
  readonly caCert: string;
  readonly keyId = 'ed25519:bench';
  readonly key: KeyPair = keyPairFromSeed(new Uint8Array(32).fill(7));
  readonly delayMs: number;
  /** Paths that were asked, in order. */
  readonly asked: string[] = [];
  /** Whether `omit_members` is honoured. */
  omits = true;
  readonly #server: Server;
  readonly #rooms = new Map<string, Answers>();
  readonly #received: ((pdu: { readonly type: string; readonly room_id: string }) => void)[] = [];

  private constructor(port: number, { delayMs = 50, ca = makeTestCa() }: ResidentOptions) {
    this.name = `localhost:${port}` as ServerName;
    this.delayMs = delayMs;
    this.caCert = ca.cert;
    this.#server = createServer(ca.issue('localhost'), (request, response) => void this.#take(request, response));
  }

  static async start(options: ResidentOptions = {}): Promise<Resident> {
    const port = await freePort();
    const resident = new Resident(port, options);
    resident.#server.listen(port, '127.0.0.1');
    await once(resident.#server, 'listening');
    return resident;
  }

  add(room: BigRoom): void {
    const [state, chain] = [list(room.texts(room.stateIds)), list(room.texts(room.chainIds))];
    const brief = `"state":${list(room.texts(room.briefIds))},"auth_chain":${list(room.texts(room.briefChainIds))}`;
    this.#rooms.set(room.roomId, {
      room,
      stateIds: Buffer.from(JSON.stringify({ pdu_ids: room.stateIds, auth_chain_ids: room.chainIds })),
      state: Buffer.from(`{"pdus":${state},"auth_chain":${chain}}`),
      whole: Buffer.from(`"state":${state},"auth_chain":${chain}}`),
      brief: Buffer.from(`"members_omitted":true,"servers_in_room":["${this.name}"],${brief}}`),
    });
  }

  /** Resolves with the time (performance.now) at which an event of this type in a room comes in. */
  awaits(roomId: string, type: string): Promise<number> {
    return new Promise((resolve) => {
      this.#received.push((pdu) => {
        if (pdu.room_id === roomId && pdu.type === type) resolve(performance.now());
      });
    });
  }

  /** The header that authenticates a request of this server. */
  sign(destination: string, method: string, uri: string, content: string): string {
    const signed = { method, uri, origin: this.name, destination: destination as ServerName, content };
    return signRequest(signed, this.keyId, this.key);
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const url = new URL(request.url ?? '', 'https://resident');
    this.asked.push(url.pathname);
    const answer = this.#answer(url, Buffer.concat(pieces).toString());
    await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    const body = answer ?? [Buffer.from('{"errcode":"M_NOT_FOUND","error":"no"}')];
    response.writeHead(answer === undefined ? 404 : 200, {
      'Content-Type': 'application/json',
      'Content-Length': body.reduce((sum, { length }) => sum + length, 0),
    });
    for (const piece of body.slice(0, -1)) response.write(piece);
    response.end(body.at(-1));
  }

  #answer(url: URL, body: string): readonly Buffer[] | undefined {
    if (url.pathname === '/_matrix/key/v2/server') {
      const keys = { serverName: this.name, keyId: this.keyId, key: this.key, oldKeys: [] };
      return json(writeKeyDocument(keys, Date.now() + 24 * 3_600_000));
    }
    const [, , , , endpoint = '', first = '', second = ''] = url.pathname.split('/').map(decodeURIComponent);
    if (endpoint === 'send') return this.#receive(body);
    if (endpoint === 'event') return this.#pdus([...this.#rooms.values()].map(({ room }) => room.text(first)));
    const answers = this.#rooms.get(first);
    if (answers === undefined) return undefined;
    const { room, state, stateIds } = answers;
    if (endpoint === 'make_join') return json({ room_version: room.rules.version, event: room.joinTemplate(second) });
    if (endpoint === 'send_join') {
      room.take(body);
      const brief = this.omits && url.searchParams.get('omit_members') === 'true';
      return [Buffer.from(`{"origin":"${this.name}","event":${body},`), brief ? answers.brief : answers.whole];
    }
    if (endpoint === 'state_ids') return [stateIds];
    if (endpoint === 'state') return [state];
    if (endpoint === 'event_auth') return [Buffer.from(`{"auth_chain":${list(room.texts(room.briefChainIds))}}`)];
    if (endpoint === 'backfill') return this.#pdus(url.searchParams.getAll('v').map((id) => room.text(id)));
    return undefined;
  }

  #pdus(texts: readonly (string | undefined)[]): readonly Buffer[] | undefined {
    const found = texts.filter((text) => text !== undefined);
    if (found.length === 0) return undefined;
    const about = `"origin":"${this.name}","origin_server_ts":${Date.now()}`;
    return [Buffer.from(`{${about},"pdus":${list(found)}}`)];
  }

  #receive(body: string): readonly Buffer[] {
    const { pdus = [] } = JSON.parse(body) as { pdus?: { type: string; room_id: string }[] };
    for (const pdu of pdus) for (const listener of this.#received) listener(pdu);
    return json({ pdus: {} });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const json = (value: unknown): readonly Buffer[] => [Buffer.from(JSON.stringify(value))];
