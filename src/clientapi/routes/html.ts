/** Small pages for browsers (authentication, confirmations), and the forms that come back from them. */
import { Reply, type RequestContext } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { readUpTo } from '../../util/bounded.ts';

type Stream = RequestContext<'none', unknown, unknown, unknown>['stream'];

/** Bytes of a filled-in form. */
const maxForm = 8192;

export const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export interface PageOptions {
  /** Text of an inline script. */
  readonly script?: string;
  readonly status?: number;
  /** Web origins whose scripts and frames the page may use. */
  readonly foreign?: string;
}

/** A page with this body; it stands in no frame and loads nothing from elsewhere, unless told. */
export function page(body: string, { script, status = 200, foreign = '' }: PageOptions = {}): Reply {
  const html =
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Authentication</title>' +
    `<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>${body}` +
    `${script === undefined ? '' : `<script>${script}</script>`}</body></html>`;
  const frames = foreign === '' ? '' : `; frame-src ${foreign}; style-src 'unsafe-inline'; connect-src ${foreign}`;
  return new Reply(status, Buffer.from(html), {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': `default-src 'none'; script-src 'unsafe-inline' ${foreign}; form-action 'self'${frames}`,
    'Referrer-Policy': 'no-referrer',
    'X-Frame-Options': 'DENY',
  });
}

/** Sends a browser elsewhere. */
export const redirect = (url: string): Reply => new Reply(302, {}, { Location: url, 'Cache-Control': 'no-store' });

/** The whole body as text. @throws M_TOO_LARGE */
export async function readText(stream: Stream): Promise<string> {
  const { bytes, cut } = await readUpTo(stream, maxForm);
  if (cut) throw matrixError.tooLarge();
  return bytes.toString('utf8');
}

/** A filled-in form. @throws M_TOO_LARGE */
export const readForm = async (stream: Stream): Promise<URLSearchParams> => new URLSearchParams(await readText(stream));
