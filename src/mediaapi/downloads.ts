/**
 * Finding the content behind an mxc URI: our own files, those whose upload is awaited, copies of other servers' files
 * (C-S API v1.19 §Content repository). Whatever may not be served is not found.
 */
import type { Config } from '../config/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { storedName, storedType } from './content-type.ts';
import { TooLarge, type MediaFiles } from './files.ts';
import { mediaKey, type MediaId } from './mxc.ts';
import type { Repository } from './repository.ts';
import * as storage from './storage.ts';
import type { ItemRow } from './storage.ts';

/** What another server says to a request for one of its files. */
export type RemoteAnswer =
  | {
      readonly kind: 'content';
      readonly contentType: string | undefined;
      /** From its `Content-Disposition`. */
      readonly filename: string | undefined;
      readonly pieces: AsyncIterable<Uint8Array>;
    }
  | { readonly kind: 'not-found' | 'not-yet-uploaded' | 'too-large' | 'unreachable' };

/** Asks the server of the URI, and no other, for a file (S-S API v1.19 §Content Repository). */
export type FetchRemote = (
  id: MediaId,
  options: { readonly timeoutMs: number; readonly maxSize: number; readonly signal: AbortSignal },
) => Promise<RemoteAnswer>;

export interface DownloadRequest {
  readonly id: MediaId;
  /** How long to wait for content that is still to come, in ms. */
  readonly timeoutMs?: number | undefined;
  /** false: only what this server has. */
  readonly allowRemote?: boolean | undefined;
  /** The request came by the old paths, without a token. */
  readonly unauthenticated?: boolean;
  readonly signal: AbortSignal;
}

/** An item that has content and may be served. */
export interface StoredItem extends ItemRow {
  readonly hash: string;
  readonly size: number;
}

export interface DownloadParts {
  readonly repository: Repository;
  readonly files: MediaFiles;
  readonly config: Config['media'];
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetchRemote: FetchRemote | undefined;
  readonly onContent: (hash: string) => void;
  /** Ends fetches when the server stops. */
  readonly stopping: AbortSignal;
}

const defaultTimeoutMs = 20_000;
const maxTimeoutMs = 60_000;

export class Downloads {
  readonly #parts: DownloadParts;
  /** Fetches under way: who asks meanwhile waits for the same one. */
  readonly #fetches = new Map<string, Promise<void>>();

  constructor(parts: DownloadParts) {
    this.#parts = parts;
  }

  /** The item, when it has content that may be served. @throws MatrixError M_NOT_FOUND, M_NOT_YET_UPLOADED, M_TOO_LARGE */
  async find(request: DownloadRequest): Promise<StoredItem> {
    const { id } = request;
    const own = id.origin === this.#parts.serverName;
    let item = this.#look(request);
    if (!own && (item === undefined || item.hash === null)) {
      await this.#fetch(request);
      item = this.#look(request);
    }
    if (own && item?.hash === null) item = await this.#await(request);
    if (item === undefined) throw matrixError.notFound();
    const { hash, size } = item;
    if (hash === null || size === null) throw matrixError.notFound();
    this.#parts.repository.touch(item, id);
    return { ...item, hash, size };
  }

  /** The item as far as this requester may know of it. */
  #look({ id, unauthenticated }: DownloadRequest): ItemRow | undefined {
    const { repository, config, clock } = this.#parts;
    const item = repository.item(id);
    if (item === undefined) return undefined;
    if (item.quarantined_by !== null || (item.quarantined === 1 && item.protected === 0)) throw matrixError.notFound();
    if (item.expires_at !== null && item.expires_at <= clock.now()) throw matrixError.notFound();
    // "any media uploaded after (or during) the freeze SHOULD only be accessible through the new, authenticated, endpoints"
    if (unauthenticated === true && config.freezeUnauthenticated && item.authenticated === 1) {
      throw matrixError.notFound();
    }
    return item;
  }

  async #await(request: DownloadRequest): Promise<ItemRow | undefined> {
    const { repository, clock } = this.#parts;
    const until = clock.now() + timeoutOf(request);
    const enough = new AbortController();
    const signal = AbortSignal.any([request.signal, enough.signal]);
    try {
      for (;;) {
        const arrival = repository.arrival(request.id, until - clock.now(), signal);
        const item = this.#look(request);
        if (item === undefined || item.hash !== null) return item;
        if (clock.now() >= until || request.signal.aborted) throw matrixError.notYetUploaded();
        await arrival;
      }
    } finally {
      enough.abort();
    }
  }

  async #fetch(request: DownloadRequest): Promise<void> {
    const { config, fetchRemote } = this.#parts;
    if (fetchRemote === undefined || request.allowRemote === false) throw matrixError.notFound();
    // A copy that comes now is new, whatever its age: the frozen paths will not give it out.
    if (request.unauthenticated === true && config.freezeUnauthenticated) throw matrixError.notFound();
    const key = mediaKey(request.id);
    const running = this.#fetches.get(key);
    const fetch = running ?? this.#store(request, fetchRemote).finally(() => this.#fetches.delete(key));
    if (running === undefined) this.#fetches.set(key, fetch);
    await fetch;
  }

  async #store(request: DownloadRequest, fetchRemote: FetchRemote): Promise<void> {
    const { id } = request;
    const { repository, files, config, clock, stopping } = this.#parts;
    const limit = config.maxRemoteSize;
    const options = { timeoutMs: timeoutOf(request), maxSize: limit, signal: stopping };
    const answer = await fetchRemote(id, options);
    if (answer.kind !== 'content') throw remoteError(answer.kind);
    const received = await files.receive(answer.pieces, limit).catch((error: unknown) => {
      if (error instanceof TooLarge) throw remoteError('too-large');
      this.#parts.log.info({ origin: id.origin, err: error }, 'a remote file did not come whole');
      throw remoteError('unreachable');
    });
    const now = clock.now();
    const type = storedType(answer.contentType);
    const name = storedName(answer.filename) ?? null;
    const { origin, mediaId } = id;
    const authenticated = config.freezeUnauthenticated ? 1 : 0;
    await repository.put(received, (tx) => {
      const filled = tx.run(storage.fillItem, received.hash, type, name, now, now, authenticated, origin, mediaId);
      if (filled.changes > 0) return;
      const { hash } = received;
      tx.run(storage.insertItem, origin, mediaId, 'remote', hash, type, name, null, now, now, null, now, authenticated);
    });
    this.#parts.onContent(received.hash);
  }
}

const timeoutOf = ({ timeoutMs = defaultTimeoutMs }: DownloadRequest): number => Math.min(timeoutMs, maxTimeoutMs);

/** What a client is told when a remote file cannot be had. */
function remoteError(kind: Exclude<RemoteAnswer['kind'], 'content'>): MatrixError {
  switch (kind) {
    case 'not-found':
      return matrixError.notFound();
    case 'not-yet-uploaded':
      return matrixError.notYetUploaded();
    case 'too-large':
      return new MatrixError(502, 'M_TOO_LARGE', 'The content is too large to serve');
    case 'unreachable':
      return new MatrixError(502, 'M_NOT_FOUND', 'The content could not be fetched from its server');
  }
}
