/**
 * A server of the test's own beside whole ones (`servers.ts`): it has a name on loopback, publishes its key, answers as it
 * is told, and sends requests that it has signed.
 */
import { request } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { ServerName } from '../../src/matrix/ids.ts';
import type { JsonValue } from '../../src/matrix/json.ts';
import { requestContent, signRequest } from '../../src/matrix/xmatrix.ts';
import type { Answer } from './client.ts';
import { sendJson, startKeyedPeer, TestNetwork, type KeyedPeer, type PeerRequest } from './federation.ts';
import { keyOf } from './room-builder.ts';
import type { FederatedServer } from './servers.ts';
import type { TestCa } from './tls.ts';

/** The answer's body (status 200), or a status with its body; undefined: the script has answered itself. */
export type Scripted = (
  request: PeerRequest,
  response: ServerResponse,
) => object | undefined | Promise<object | undefined>;

export class ScriptedServer implements AsyncDisposable {
  readonly #peer: KeyedPeer;
  /** By the endpoint's name, such as `make_join`. */
  readonly scripts = new Map<string, Scripted>();

  constructor(peer: KeyedPeer) {
    this.#peer = peer;
    // Events of `SignedRoom` are signed so.
    peer.keys.signing = { keyId: 'ed25519:test', key: keyOf(peer.name) };
  }

  static async start(ca: TestCa): Promise<ScriptedServer> {
    const network = Object.assign(new TestNetwork(), { ca });
    const server: ScriptedServer = new ScriptedServer(
      await startKeyedPeer(network, 'localhost', async (asked, response) => {
        const endpoint = /^\/_matrix\/federation\/v[12]\/([^/?]+)/.exec(asked.url)?.[1] ?? '';
        const script = server.scripts.get(endpoint);
        if (script === undefined) return sendJson(response, { errcode: 'M_UNRECOGNIZED', error: 'no' }, 404);
        const body = await script(asked, response);
        if (body !== undefined) sendJson(response, body);
      }),
    );
    return server;
  }

  get name(): ServerName {
    return this.#peer.name;
  }

  user(localpart: string): string {
    return `@${localpart}:${this.name}`;
  }

  /** How often an endpoint was asked. */
  asked(endpoint: string): number {
    return this.#peer.requests.filter(({ url }) => url.includes(`/${endpoint}/`)).length;
  }

  /** Asks a whole server, with the signature of this one. `body` may be JSON text. */
  ask(
    server: Pick<FederatedServer, 'name' | 'baseUrl'>,
    method: string,
    uri: string,
    body?: JsonValue,
  ): Promise<Answer> {
    const authorization = signRequest(
      {
        ...{ method, uri, origin: this.name, destination: server.name as ServerName },
        content: body === undefined ? undefined : requestContent(body),
      },
      this.#peer.keys.signing.keyId,
      this.#peer.keys.signing.key,
    );
    const { hostname, port } = new URL(server.baseUrl);
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const headers = { Authorization: authorization, 'Content-Type': 'application/json' };
      const outgoing = request({ host: hostname, port, method, path: uri, headers }, (incoming) => {
        const pieces: Buffer[] = [];
        incoming.on('data', (piece: Buffer) => pieces.push(piece));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const parsed = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
          resolve({ status: incoming.statusCode ?? 0, body: parsed });
        });
      });
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }
}
