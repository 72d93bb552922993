/**
 * Uploads of local users: at once, or to an id made before (C-S API v1.19 §Content repository; MSC2246). Quotas count in
 * the commit that stores the file, so that uploads side by side cannot pass them together.
 */
import type { Config } from '../config/index.ts';
import { matrixError, type MatrixError } from '../matrix/errors.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import type { Database, Snapshot, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { storedName, storedType } from './content-type.ts';
import { TooLarge, type MediaFiles, type Received } from './files.ts';
import { formatMxc, mediaKey, newMediaId, type MediaId } from './mxc.ts';
import type { Repository } from './repository.ts';
import * as storage from './storage.ts';

/** A file on its way in. */
export interface IncomingFile {
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Bytes announced; undefined: not said. */
  readonly length: number | undefined;
  /** The `Content-Type` as it was sent. */
  readonly contentType: string | undefined;
  readonly filename: string | undefined;
}

export interface UploadParts {
  readonly db: Database;
  readonly files: MediaFiles;
  readonly repository: Repository;
  readonly config: Config['media'];
  readonly serverName: ServerName;
  readonly clock: Clock;
  /** Is told of new content, to make thumbnails of it. */
  readonly onContent: (hash: string) => void;
}

export interface CreatedMedia {
  readonly content_uri: string;
  /** ms */
  readonly unused_expires_at: number;
}

export class Uploads {
  readonly #parts: UploadParts;
  /** Ids whose content is being received: they do not expire meanwhile. */
  readonly #receiving = new Set<string>();

  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  /** Stores a file. Returns its mxc URI. @throws MatrixError M_TOO_LARGE, M_FORBIDDEN (quota) */
  async upload(user: UserId, file: IncomingFile): Promise<string> {
    const { repository } = this.#parts;
    const received = await this.#receive(user, file);
    const id = this.#newId();
    await repository.put(received, (tx) => {
      this.#count(tx, user, received.size);
      this.#insert(tx, id, user, file, received.hash);
    });
    this.#parts.onContent(received.hash);
    return formatMxc(id);
  }

  /** Makes an id for content that comes later. @throws MatrixError M_LIMIT_EXCEEDED when too many wait */
  async create(user: UserId): Promise<CreatedMedia> {
    const { db, clock, config } = this.#parts;
    const id = this.#newId();
    const now = clock.now();
    const expires = now + config.pendingExpiry;
    await db.write((tx) => {
      this.#checkQuota(tx, user, 0);
      const pending = tx.get(storage.selectPending, user, now);
      if ((pending?.count ?? 0) >= config.maxPending) {
        throw matrixError.limitExceeded((pending?.next ?? expires) - now, 'Too many media ids wait for their content');
      }
      const { origin, mediaId } = id;
      const type = storedType(undefined);
      tx.run(storage.insertItem, origin, mediaId, 'upload', null, type, null, user, now, null, expires, now, 1);
    });
    return { content_uri: formatMxc(id), unused_expires_at: expires };
  }

  /**
   * Brings the content of an id made by `create`.
   * @throws MatrixError M_NOT_FOUND, M_FORBIDDEN (another's id, quota), M_CANNOT_OVERWRITE_MEDIA, M_TOO_LARGE
   */
  async fill(user: UserId, id: MediaId, file: IncomingFile): Promise<void> {
    const { db, repository } = this.#parts;
    db.read((snapshot) => this.#checkFillable(snapshot, user, id));
    const key = mediaKey(id);
    const first = !this.#receiving.has(key);
    this.#receiving.add(key);
    try {
      const received = await this.#receive(user, file);
      await repository.put(received, (tx) => {
        this.#checkFillable(tx, user, id);
        this.#count(tx, user, received.size);
        this.#fill(tx, id, file, received.hash);
      });
      this.#parts.onContent(received.hash);
    } finally {
      if (first) this.#receiving.delete(key);
    }
    repository.arrived(id);
  }

  /** Deletes ids whose content did not come in time. */
  async expire(): Promise<void> {
    const { db, clock, repository } = this.#parts;
    const rows = db.read((snapshot) => snapshot.all(storage.selectExpiredPending, clock.now()));
    const ids = rows.map(({ origin, media_id }) => ({ origin: origin as ServerName, mediaId: media_id }));
    const idle = ids.filter((id) => !this.#receiving.has(mediaKey(id)));
    if (idle.length > 0) await repository.delete(idle);
  }

  #newId(): MediaId {
    return { origin: this.#parts.serverName, mediaId: newMediaId() };
  }

  async #receive(user: UserId, file: IncomingFile): Promise<Received> {
    const { db, files, config } = this.#parts;
    const limit = config.maxUploadSize;
    if ((file.length ?? 0) > limit) throw tooLarge(limit);
    db.read((snapshot) => this.#checkQuota(snapshot, user, file.length ?? 0));
    try {
      return await files.receive(file.pieces, limit);
    } catch (error) {
      throw error instanceof TooLarge ? tooLarge(limit) : error;
    }
  }

  #checkFillable(snapshot: Snapshot, user: UserId, { origin, mediaId }: MediaId): void {
    const row = origin === this.#parts.serverName ? snapshot.get(storage.selectItem, origin, mediaId) : undefined;
    if (row === undefined || row.kind !== 'upload') throw matrixError.notFound('Unknown media id');
    if (row.uploader !== user) throw matrixError.forbidden('The media id belongs to another user');
    if (row.hash !== null) throw matrixError.cannotOverwriteMedia();
    const expired = (row.expires_at ?? 0) <= this.#parts.clock.now();
    if (expired && !this.#receiving.has(mediaKey({ origin: this.#parts.serverName, mediaId }))) {
      throw matrixError.notFound('The media id has expired');
    }
  }

  #count(tx: Tx, user: UserId, size: number): void {
    this.#checkQuota(tx, user, size);
    tx.run(storage.addUsage, user, 1, size);
  }

  #checkQuota(snapshot: Snapshot, user: UserId, size: number): void {
    const { userQuotaSize, userQuotaFiles } = this.#parts.config;
    const used = snapshot.get(storage.selectUsage, user) ?? { files: 0, bytes: 0 };
    if (userQuotaFiles > 0 && used.files >= userQuotaFiles)
      throw matrixError.forbidden('Your quota of files is used up');
    if (userQuotaSize > 0 && used.bytes + size > userQuotaSize) {
      throw matrixError.forbidden('Your quota of storage is used up');
    }
  }

  #insert(tx: Tx, id: MediaId, user: UserId, file: IncomingFile, hash: string): void {
    const now = this.#parts.clock.now();
    tx.run(
      storage.insertItem,
      id.origin,
      id.mediaId,
      'upload',
      hash,
      storedType(file.contentType),
      storedName(file.filename) ?? null,
      user,
      now,
      now,
      null,
      now,
      this.#authenticated,
    );
    tx.touch(mediaKey(id));
  }

  #fill(tx: Tx, id: MediaId, file: IncomingFile, hash: string): void {
    const now = this.#parts.clock.now();
    const type = storedType(file.contentType);
    const name = storedName(file.filename) ?? null;
    tx.run(storage.fillItem, hash, type, name, now, now, this.#authenticated, id.origin, id.mediaId);
    tx.touch(mediaKey(id));
  }

  get #authenticated(): number {
    return this.#parts.config.freezeUnauthenticated ? 1 : 0;
  }
}

const tooLarge = (limit: number): MatrixError => matrixError.tooLarge(`Files may not be larger than ${limit} bytes`);
