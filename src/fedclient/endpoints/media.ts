/**
 * Files of other servers (S-S API v1.19 §Content Repository): asked of the server of the mxc URI and no other, by the
 * signed endpoints, else by the older open ones.
 */
import type { ServerName } from '../../matrix/ids.ts';
import { err, ok, type Result } from '../../util/result.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer, FederationRequest } from '../exchange.ts';
import type { FederationFault } from '../fault.ts';
import { boundaryOf, filenameOf, openFilePart } from '../multipart.ts';
import { BadReply } from '../reply.ts';
import { minute, path, type Called } from './call.ts';

export interface RemoteFile {
  readonly contentType: string | undefined;
  readonly filename: string | undefined;
  /** To be read soon, to the end or left; throws when the file is cut off or too large. */
  readonly pieces: AsyncIterable<Buffer>;
}

export interface MediaRequest {
  /** How long the other server may wait for a file that is still to come, in ms. */
  readonly timeoutMs: number;
  /** Bytes. */
  readonly maxSize: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ThumbnailWish {
  readonly width: number;
  readonly height: number;
  readonly method: 'crop' | 'scale';
  readonly animated: boolean | undefined;
}

/** For the file itself, after the waiting. */
const transferMs = 10 * minute;
/** The multipart frame around a file. */
const frameBytes = 256 * 1024;

/** A file under way, or the place where it is. */
type Opened = RemoteFile | { readonly location: string };

/** How an answer becomes a file; `finished` resolves when nobody reads it any more. */
interface Flow {
  readonly opened: Opened;
  readonly finished: Promise<void>;
}

function flowOf(contentType: string | undefined, disposition: string | undefined, body: AsyncIterable<Buffer>): Flow {
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  async function* pieces(): AsyncGenerator<Buffer> {
    try {
      yield* body;
    } finally {
      finish();
    }
  }
  return { opened: { contentType, filename: filenameOf(disposition), pieces: pieces() }, finished };
}

async function readMixed(answer: FederationAnswer): Promise<Flow> {
  const boundary = boundaryOf(answer.header('content-type'));
  if (boundary === undefined) throw new BadReply('the answer is not multipart/mixed');
  const { headers, pieces } = await openFilePart(answer.body, boundary);
  const location = headers.get('location');
  if (location !== undefined) return { opened: { location }, finished: Promise.resolve() };
  return flowOf(headers.get('content-type'), headers.get('content-disposition'), pieces);
}

const readPlain = async (answer: FederationAnswer): Promise<Flow> =>
  flowOf(answer.header('content-type'), answer.header('content-disposition'), answer.body);

/** Hands the file on as soon as it begins; the exchange lasts until it ends. */
function open(
  exchange: (use: (flow: Flow) => Promise<void>) => Promise<Result<void, FederationFault>>,
): Promise<Result<Opened, FederationFault>> {
  return new Promise((resolve) => {
    void exchange(async ({ opened, finished }) => {
      resolve(ok(opened));
      await finished;
    }).then((ended) => {
      if (!ended.ok) resolve(ended);
    });
  });
}

/** "404 M_UNRECOGNIZED", or a refusal that is no error of the specification: the endpoint is not known there. */
const isUnrecognized = (fault: FederationFault): boolean =>
  fault.kind === 'http' &&
  fault.status < 500 &&
  (fault.errcode === 'M_UNRECOGNIZED' || !Object.hasOwn(fault.body, 'errcode'));

async function fetchFile(
  client: FederationClient,
  server: ServerName,
  wish: { readonly signed: string; readonly old: string; readonly query: NonNullable<FederationRequest['query']> },
  { timeoutMs, maxSize, signal }: MediaRequest,
): Called<RemoteFile> {
  const bounds = { timeoutMs: timeoutMs + transferMs, maxBytes: maxSize + frameBytes, signal, failsOn: () => false };
  const query = { ...wish.query, timeout_ms: timeoutMs };
  const first = await open((use) =>
    client.exchange(server, { method: 'GET', path: wish.signed, query, ...bounds }, async (answer) =>
      use(await readMixed(answer)),
    ),
  );
  if (first.ok) {
    if (!('location' in first.value)) return ok(first.value);
    const { location } = first.value;
    const second = await open((use) =>
      client.fetchUrl(location, bounds, async (answer) => use(await readPlain(answer))),
    );
    return onlyFile(second);
  }
  if (!isUnrecognized(first.error)) return err(first.error);
  // "When falling back, servers MUST be sure to set allow_remote to false."
  const old = { method: 'GET', path: wish.old, query: { ...query, allow_remote: false }, signed: false } as const;
  const fallback = await open((use) =>
    client.exchange(server, { ...old, ...bounds }, async (answer) => use(await readPlain(answer))),
  );
  return onlyFile(fallback);
}

const onlyFile = (opened: Result<Opened, FederationFault>): Result<RemoteFile, FederationFault> => {
  if (!opened.ok) return opened;
  return 'location' in opened.value
    ? err({ kind: 'bad-reply', message: 'the file is somewhere else again' })
    : ok(opened.value);
};

/** What a failed fetch means to who asked for the file. */
export function missingFile(fault: FederationFault): 'not-found' | 'not-yet-uploaded' | 'too-large' | 'unreachable' {
  if (fault.kind !== 'http') return 'unreachable';
  if (fault.errcode === 'M_NOT_YET_UPLOADED') return 'not-yet-uploaded';
  if (fault.errcode === 'M_TOO_LARGE' || fault.status === 413) return 'too-large';
  return fault.status === 404 ? 'not-found' : 'unreachable';
}

export const mediaEndpoints = (client: FederationClient) => ({
  downloadMedia: (server: ServerName, mediaId: string, request: MediaRequest): Called<RemoteFile> =>
    fetchFile(
      client,
      server,
      {
        signed: path`/_matrix/federation/v1/media/download/${mediaId}`,
        old: path`/_matrix/media/v3/download/${server}/${mediaId}`,
        query: {},
      },
      request,
    ),

  downloadThumbnail: (
    server: ServerName,
    mediaId: string,
    { width, height, method, animated }: ThumbnailWish,
    request: MediaRequest,
  ): Called<RemoteFile> =>
    fetchFile(
      client,
      server,
      {
        signed: path`/_matrix/federation/v1/media/thumbnail/${mediaId}`,
        old: path`/_matrix/media/v3/thumbnail/${server}/${mediaId}`,
        query: { width, height, method, animated },
      },
      request,
    ),
});
