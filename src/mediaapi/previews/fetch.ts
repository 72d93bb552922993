/**
 * Fetching what a user named: http and https only, through the guarded agent, redirects followed one by one (each is
 * checked like the first), with limits on size and time.
 */
import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createUnzip } from 'node:zlib';
import type { Dispatcher } from 'undici';
import { readUpTo } from '../../util/bounded.ts';
import { undici } from '../../util/lazy.ts';
import { untilAborted } from '../../util/until-aborted.ts';

export interface Fetched {
  /** Where the redirects ended. */
  readonly url: URL;
  readonly contentType: string;
  readonly bytes: Buffer;
  /** The limit ended the reading. */
  readonly cut: boolean;
}

export interface FetchOptions {
  readonly agent: Dispatcher;
  readonly accept: string;
  readonly language: string;
  readonly userAgent: string;
  /** Bytes to read at most. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** The page could not be had; the message says why, for the log only. */
export class FetchFailed extends Error {
  override readonly name = 'FetchFailed';
}

const maxRedirects = 5;

/** A URL that may be fetched: http or https, without credentials, not a port of another protocol; undefined otherwise. */
export function fetchableUrl(text: string, base?: URL): URL | undefined {
  if (text.length > 4096 || !URL.canParse(text, base?.href)) return undefined;
  const url = new URL(text, base);
  const port = url.port === '' ? 443 : Number(url.port);
  const isWeb =
    (url.protocol === 'http:' || url.protocol === 'https:') && (port === 80 || port === 443 || port >= 1024);
  if (!isWeb || url.username !== '' || url.password !== '') return undefined;
  url.hash = '';
  return url;
}

/** The body of a 200, as far as the limit. @throws FetchFailed, AddressRefused, errors of the network */
export async function fetchUrl(start: URL, options: FetchOptions): Promise<Fetched> {
  let url = start;
  for (let hops = 0; hops <= maxRedirects; hops += 1) {
    const asked = undici().request(url, {
      dispatcher: options.agent,
      method: 'GET',
      signal: options.signal,
      headers: {
        Accept: options.accept,
        'Accept-Encoding': 'gzip, deflate, br',
        'Accept-Language': options.language,
        'User-Agent': options.userAgent,
      },
    });
    const response = await untilAborted(asked, options.signal);
    const { statusCode: status, body } = response;
    // A body that is given up says so by an event, which would end the process if nobody listened.
    body.on('error', () => undefined);
    const location = header(response.headers['location']);
    if (status >= 300 && status < 400 && location !== undefined) {
      body.destroy();
      const next = fetchableUrl(location, url);
      if (next === undefined) throw new FetchFailed('a redirect leads to something that is not fetched');
      url = next;
      continue;
    }
    if (status !== 200) {
      body.destroy();
      throw new FetchFailed(`status ${status}`);
    }
    const contentType = header(response.headers['content-type']) ?? '';
    const plain = unpacked(body, header(response.headers['content-encoding']));
    return { url, contentType, ...(await readUpTo(plain, options.limit)) };
  }
  throw new FetchFailed('too many redirects');
}

const header = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : value?.[0];

/** The body without its transfer packing; the limit holds for what comes out. */
function unpacked(body: Readable, encoding: string | undefined): Readable {
  const name = encoding?.trim().toLowerCase();
  if (name === undefined || name === '' || name === 'identity') return body;
  const unpack =
    name === 'br' ? createBrotliDecompress() : /^(x-)?gzip$|^deflate$/.test(name) ? createUnzip() : undefined;
  if (unpack === undefined) {
    body.destroy();
    throw new FetchFailed('an unknown packing');
  }
  // Faults of either end come out of the unpacked one, where they are read.
  return pipeline(body, unpack, () => undefined);
}
