/**
 * Request authentication between servers (S-S API v1.19 §Request Authentication): what a request's signature covers, and
 * the `Authorization: X-Matrix …` header that carries it. Reading is lenient, as the compatibility rules ask; writing is
 * strict.
 */
import { decodeBase64, encodeBase64, utf8Bytes } from '../util/bytes.ts';
import { canonicalJson } from './canonical-json.ts';
import { type KeyPair, type SignatureCheck, sign } from './crypto/ed25519.ts';
import { parseServerName, type ServerName } from './ids.ts';
import type { JsonValue } from './json.ts';

/** What one header claims. */
export interface XMatrix {
  readonly origin: ServerName;
  /** Older servers leave it out. */
  readonly destination: string | undefined;
  /** `ed25519:…` */
  readonly key: string;
  /** Unpadded base64 as found. */
  readonly sig: string;
}

const scheme = /^x-matrix[ \t]+/i;
// A name, `=`, and a quoted or bare value; bare values may hold more than a token (colons, base64), as old servers write.
const parameter = /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^",\s]*))[ \t]*(?:,|$)/y;
const longestHeader = 4096;

/** Reads an `Authorization` header; undefined when it is no complete X-Matrix one. Of a repeated name the first counts. */
export function parseXMatrix(header: string): XMatrix | undefined {
  const start = header.length <= longestHeader ? scheme.exec(header)?.[0].length : undefined;
  if (start === undefined) return undefined;
  const text = header.trimEnd();
  const values = new Map<string, string>();
  parameter.lastIndex = start;
  while (parameter.lastIndex < text.length) {
    // Empty list elements are allowed (RFC 9110 §5.6.1).
    const gap = /[ \t]*,/y;
    gap.lastIndex = parameter.lastIndex;
    if (gap.test(text)) {
      parameter.lastIndex = gap.lastIndex;
      continue;
    }
    const match = parameter.exec(text);
    if (match === null) return undefined;
    const [, name = '', quoted, bare = ''] = match;
    const value = quoted === undefined ? bare : quoted.replaceAll(/\\(.)/g, '$1');
    if (!values.has(name.toLowerCase())) values.set(name.toLowerCase(), value);
  }
  const origin = parseServerName(values.get('origin') ?? '');
  const key = values.get('key');
  const sig = values.get('sig');
  if (origin === undefined || key === undefined || sig === undefined || !key.startsWith('ed25519:')) return undefined;
  return { origin, destination: values.get('destination'), key, sig };
}

/** The header text: lower-case names, quotes, no spaces around the commas. */
export const formatXMatrix = ({ origin, destination, key, sig }: XMatrix): string =>
  `X-Matrix origin="${origin}",${destination === undefined ? '' : `destination="${destination}",`}key="${key}",sig="${sig}"`;

export interface SignedRequest {
  readonly method: string;
  /** The request target as it goes over the wire: path and query, byte for byte. */
  readonly uri: string;
  readonly origin: string;
  /** Absent in requests of servers older than v1.3. */
  readonly destination: string | undefined;
  /** Canonical JSON of the body; undefined without a body. */
  readonly content: string | undefined;
}

/** The canonical text that a request's signature covers. @throws CanonicalJsonError for a target that is no text */
export function signedRequestText({ method, uri, origin, destination, content }: SignedRequest): string {
  const rest = canonicalJson(
    destination === undefined ? { method, origin, uri } : { destination, method, origin, uri },
  );
  // `content` sorts before all other members.
  return content === undefined ? rest : `{"content":${content},${rest.slice(1)}`;
}

/** The canonical text of a body; numbers of old room versions are kept as they are. @throws CanonicalJsonError */
export const requestContent = (body: JsonValue): string => canonicalJson(body, { lenient: true });

/** Signs a request of ours: the `Authorization` header. */
export function signRequest(
  request: SignedRequest & { readonly origin: ServerName },
  keyId: string,
  key: KeyPair,
): string {
  const sig = encodeBase64(sign(utf8Bytes(signedRequestText(request)), key));
  return formatXMatrix({ origin: request.origin, destination: request.destination, key: keyId, sig });
}

/** What has to be verified for a header over a request; undefined when the signature is not base64. */
export function requestCheck(
  claim: XMatrix,
  request: Pick<SignedRequest, 'method' | 'uri' | 'content'>,
  publicKey: Uint8Array,
): SignatureCheck | undefined {
  const signature = decodeBase64(claim.sig);
  if (signature === undefined) return undefined;
  const text = signedRequestText({ ...request, origin: claim.origin, destination: claim.destination });
  return { message: utf8Bytes(text), signature, publicKey };
}
