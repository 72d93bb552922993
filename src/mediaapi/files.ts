/**
 * The files: `media/content` holds each content once, named by its SHA-256, `media/thumbnails` what was made of them,
 * `media/incoming` what is still being written. A file is written to the end, put on disk, then renamed into its place;
 * only then may a row name it. What a crash leaves in `incoming` goes at the next start, what it leaves without a row is
 * found by the sweep.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../util/error-text.ts';
import { putOnDisk } from './put-on-disk.ts';

/** More bytes came than the limit allows. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** A whole file in `incoming`, on disk. */
export interface Received {
  readonly path: string;
  /** SHA-256 in hex. */
  readonly hash: string;
  readonly size: number;
  /** The first bytes, at most 32. */
  readonly head: Uint8Array;
}

export interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
}

const headLength = 32;
const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

export class MediaFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the folders and empties `incoming`. */
  prepare(): void {
    rmSync(join(this.#root, 'incoming'), { recursive: true, force: true });
    for (const name of ['content', 'thumbnails', 'incoming']) mkdirSync(join(this.#root, name), { recursive: true });
  }

  contentPath(hash: string): string {
    return join(this.#root, 'content', hash.slice(0, 2), hash);
  }

  thumbnailPath(name: string): string {
    return join(this.#root, 'thumbnails', name.slice(0, 2), name);
  }

  /** A new place in `incoming`. */
  incomingPath(): string {
    return join(this.#root, 'incoming', randomBytes(12).toString('hex'));
  }

  /** Writes what comes to a file in `incoming` and puts it on disk. Nothing stays when it fails. @throws TooLarge */
  async receive(pieces: AsyncIterable<Uint8Array>, limit: number): Promise<Received> {
    const path = this.incomingPath();
    const handle = await open(path, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      let size = 0;
      let head: Uint8Array = new Uint8Array();
      for await (const piece of pieces) {
        size += piece.length;
        if (size > limit) throw new TooLarge();
        if (head.length < headLength) head = Buffer.concat([head, piece.subarray(0, headLength - head.length)]);
        hash.update(piece);
        await writeWhole(handle, piece);
      }
      await handle.datasync();
      return { path, hash: hash.digest('hex'), size, head };
    } catch (error) {
      await this.remove(path);
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** Moves a file from `incoming` to its lasting place, surviving a power cut. */
  async keep(incoming: string, place: string): Promise<void> {
    const folder = dirname(place);
    const made = await mkdir(folder, { recursive: true });
    await rename(incoming, place);
    await putOnDisk(folder, 'r');
    if (made !== undefined) await putOnDisk(dirname(folder), 'r');
  }

  /** Opens a file to be sent; undefined when there is none. The caller closes it. */
  async open(path: string): Promise<OpenFile | undefined> {
    try {
      const handle = await open(path, 'r');
      const { size } = await handle.stat();
      return { handle, size };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Bytes of a file; undefined when there is none. */
  async sizeOf(path: string): Promise<number | undefined> {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Deletes a file; a missing one is fine. */
  async remove(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Names of the lasting files, one folder at a time. */
  async *stored(kind: 'content' | 'thumbnails'): AsyncGenerator<string[], void> {
    const folders = await readdir(join(this.#root, kind));
    for (const folder of folders.sort()) yield await readdir(join(this.#root, kind, folder));
  }
}

async function writeWhole(handle: FileHandle, piece: Uint8Array): Promise<void> {
  for (let written = 0; written < piece.length;) {
    written += (await handle.write(piece, written)).bytesWritten;
  }
}
