/** One HTTPS GET to an address that somebody else named, redirects followed, every hop through the connector's checks. */
import type { Dispatcher } from 'undici';
import { undici } from '../util/lazy.ts';
import type { Connector } from './connector.ts';

/** It redirects too often, or to what is not HTTPS. */
export class RedirectError extends Error {
  override readonly name = 'RedirectError';
}

export interface GetOptions {
  readonly signal: AbortSignal;
  readonly userAgent: string;
  /** Silence in the middle, in ms. */
  readonly idleMs: number;
}

const mostRedirects = 5;
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * Hands the first answer that is no redirect to `use`; the connection ends when `use` has.
 * @throws RedirectError, and what network and `use` throw
 */
export async function httpsGet<T>(
  connector: Connector,
  url: URL,
  options: GetOptions,
  use: (answer: Dispatcher.ResponseData) => Promise<T>,
): Promise<T> {
  const all = { ...options, signal: AbortSignal.any([options.signal, connector.stopping]) };
  let next = url;
  for (let hop = 0; hop <= mostRedirects; hop += 1) {
    if (next.protocol !== 'https:' || next.username !== '') throw new RedirectError('not a plain https address');
    const done = await oneHop(connector, next, all, use);
    if (!(done instanceof URL)) return done.value;
    next = done;
  }
  throw new RedirectError('too many redirects');
}

async function oneHop<T>(
  connector: Connector,
  url: URL,
  { signal, userAgent, idleMs }: GetOptions,
  use: (answer: Dispatcher.ResponseData) => Promise<T>,
): Promise<{ readonly value: T } | URL> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const endpoints = [{ host, port: url.port === '' ? 443 : Number(url.port) }];
  const route = { hostHeader: url.host, tlsName: host, endpoints };
  const client = new (undici().Client)(url.origin, {
    connect: connector.dialling(route),
    headersTimeout: 0,
    bodyTimeout: idleMs,
  });
  try {
    const path = url.pathname + url.search;
    const answer = await client.request({ method: 'GET', path, headers: { 'user-agent': userAgent }, signal });
    // Its late errors must not go unheard.
    answer.body.on('error', () => undefined);
    const location = answer.headers['location'];
    if (redirects.has(answer.statusCode) && typeof location === 'string' && URL.canParse(location, url.href))
      return new URL(location, url);
    return { value: await use(answer) };
  } finally {
    await client.destroy();
  }
}
