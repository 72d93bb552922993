/** Who sends a request from another server (S-S API v1.19 §Request Authentication). */
import { verifyBatch } from '../matrix/crypto/ed25519.ts';
import { CanonicalJsonError } from '../matrix/canonical-json.ts';
import { matrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import { parseXMatrix, requestCheck, requestContent, type XMatrix } from '../matrix/xmatrix.ts';
import type { ServerAuthenticator, ServerClaim, ServerRequest } from '../http/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Destinations } from './destinations.ts';
import type { KeyRing } from './keyring.ts';
import type { ServerFilter } from './server-filter.ts';

/** A server sends one header for each of its keys. */
const mostHeaders = 4;

export class XMatrixAuthenticator implements ServerAuthenticator {
  readonly #parts: {
    readonly serverName: ServerName;
    readonly keyRing: KeyRing;
    readonly filter: ServerFilter;
    readonly destinations: Destinations;
    readonly clock: Clock;
  };

  constructor(parts: {
    readonly serverName: ServerName;
    readonly keyRing: KeyRing;
    readonly filter: ServerFilter;
    readonly destinations: Destinations;
    readonly clock: Clock;
  }) {
    this.#parts = parts;
  }

  claim(authorization: readonly string[]): ServerClaim {
    const headers = authorization.filter((text) => /^x-matrix\b/i.test(text)).slice(0, mostHeaders);
    if (headers.length === 0) throw matrixError.unauthorized('The request has no X-Matrix authorization');
    const claims = headers.map(parseXMatrix).filter((claim) => claim !== undefined);
    const [first] = claims;
    if (first === undefined || claims.some(({ origin }) => origin !== first.origin))
      throw matrixError.invalidParam('The X-Matrix authorization is malformed');
    // "If this property is included, but the value does not match the receiving server's name, the receiving server must
    // deny the request with an HTTP status code 401 Unauthorized."
    const { serverName, filter } = this.#parts;
    if (claims.some(({ destination }) => destination !== undefined && destination !== serverName))
      throw matrixError.unauthorized('The request is meant for another server');
    if (!filter.permits(first.origin)) throw matrixError.forbidden('This server does not speak with yours');
    return { origin: first.origin, verify: (request) => this.#verify(claims, request) };
  }

  async #verify(claims: readonly XMatrix[], { method, uri, content }: ServerRequest): Promise<void> {
    const request = { method, uri, content: content === undefined ? undefined : canonical(content) };
    let unreachable = false;
    for (const claim of claims) {
      const { origin: server, key: keyId } = claim;
      const at = this.#parts.clock.now();
      const answer = await this.#parts.keyRing.key({ server, keyId, at, enforceValidity: true, present: true });
      unreachable ||= answer.kind === 'unreachable';
      const check = answer.kind === 'key' ? requestCheck(claim, request, answer.publicKey) : undefined;
      if (check === undefined) continue;
      const [valid] = await verifyBatch([check]);
      if (valid !== true) throw matrixError.unauthorized('The signature of the request is wrong');
      this.#parts.destinations.contacted(server);
      return;
    }
    throw matrixError.unauthorized(
      unreachable ? 'The keys of your server could not be fetched' : 'The request is not signed with a known key',
    );
  }
}

function canonical(content: Parameters<typeof requestContent>[0]): string {
  try {
    return requestContent(content);
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw matrixError.badJson('The body has no canonical form');
    throw error;
  }
}
