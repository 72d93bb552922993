/**
 * Single sign-on by a CAS server (C-S API v1.19 §SSO client login; CAS protocol 3.0 §2.5 serviceValidate): where the
 * browser is sent, and whose ticket it comes back with.
 */
import type { Config } from '../config/index.ts';
import { matrixError } from '../matrix/errors.ts';
import { formatUserId, type ServerName, type UserId } from '../matrix/ids.ts';
import { ask, AskFailed } from '../util/ask.ts';
import { htmlParser } from '../util/lazy.ts';

const timeoutMs = 10_000;

/** What happens when the browser comes back: a client gets a login token, or a session of authentication a stage. */
export type SsoPurpose = { readonly redirectUrl: string } | { readonly session: string };

/** Where CAS sends the browser back to. */
export const ticketPath = '/_matrix/client/r0/login/cas/ticket';

export class Cas {
  /** The only provider of `identity_providers`. */
  readonly provider: { readonly id: string; readonly name: string };
  readonly #serverUrl: string;
  readonly #serviceUrl: string;
  readonly #serverName: ServerName;
  readonly #trusted: readonly string[];

  constructor(config: Config['cas'] & { readonly serverUrl: string }, baseUrl: string, serverName: ServerName) {
    this.provider = { id: 'cas', name: config.name };
    this.#serverUrl = config.serverUrl.replace(/\/+$/, '');
    this.#serviceUrl = (config.serviceUrl ?? baseUrl).replace(/\/+$/, '');
    this.#serverName = serverName;
    this.#trusted = config.trustedClients;
  }

  /** The page of the CAS server at which the user shows who he is. */
  loginUrl(purpose: SsoPurpose): string {
    return `${this.#serverUrl}/login?service=${encodeURIComponent(this.#service(purpose))}`;
  }

  /** Whether this client may have a login token without the user being asked. */
  isTrusted(redirectUrl: string): boolean {
    const wanted = new URL(redirectUrl);
    return this.#trusted.some((text) => {
      const trusted = new URL(text);
      const folder = trusted.pathname.endsWith('/') ? trusted.pathname : `${trusted.pathname}/`;
      const isInside = wanted.pathname === trusted.pathname || wanted.pathname.startsWith(folder);
      return wanted.protocol === trusted.protocol && wanted.host === trusted.host && isInside;
    });
  }

  /** The user of this server whom a ticket was given to. @throws M_FORBIDDEN, M_CONNECTION_FAILED */
  async userOf(ticket: string, purpose: SsoPurpose): Promise<UserId> {
    const query = `ticket=${encodeURIComponent(ticket)}&service=${encodeURIComponent(this.#service(purpose))}`;
    const answer = await ask(`${this.#serverUrl}/proxyValidate?${query}`, { timeoutMs }).catch((error: unknown) => {
      if (error instanceof AskFailed) throw Object.assign(matrixError.connectionFailed(), { cause: error });
      throw error;
    });
    const name = answer.status === 200 ? casUser(answer.text) : undefined;
    const userId = name === undefined ? undefined : formatUserId(mappedLocalpart(name), this.#serverName);
    if (userId === undefined) throw matrixError.forbidden('The sign-on server does not confirm who you are');
    return userId;
  }

  #service(purpose: SsoPurpose): string {
    const query =
      'session' in purpose
        ? `session=${encodeURIComponent(purpose.session)}`
        : `redirectUrl=${encodeURIComponent(purpose.redirectUrl)}`;
    return `${this.#serviceUrl}${ticketPath}?${query}`;
  }
}

/** `serviceResponse/authenticationSuccess/user` of the answer; undefined for anything else. */
export function casUser(xml: string): string | undefined {
  const wanted = 'serviceResponse/authenticationSuccess/user';
  const path: string[] = [];
  const names: string[] = [];
  const parser = new (htmlParser().Parser)(
    {
      onopentag: (tag) => {
        path.push(tag.replace(/^.*:/, ''));
        if (path.join('/') === wanted) names.push('');
      },
      ontext: (text) => {
        if (path.join('/') === wanted) names.push((names.pop() ?? '') + text);
      },
      onclosetag: () => void path.pop(),
    },
    { xmlMode: true, decodeEntities: true },
  );
  parser.end(xml);
  const [name, ...others] = names.map((text) => text.trim());
  return name === undefined || name === '' || others.length > 0 ? undefined : name;
}

/** A localpart for any text (Appendices v1.19 §Mapping from other character sets). */
export const mappedLocalpart = (name: string): string =>
  [...Buffer.from(name, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte).toLowerCase();
      return /[a-z0-9._/+-]/.test(character) && byte < 128 ? character : `=${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
