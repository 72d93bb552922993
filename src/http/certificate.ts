/**
 * The certificate of a listener, read again when its files change: new connections get the new one, those that are open
 * go on. Files that do not belong together (one was written, the other not yet) are left until they do.
 */
import { readFile, stat } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:https';
import type { Logger } from '../util/log.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

const checkMs = 10_000;

/** Both files. @throws Error in one sentence */
export function readCertificate({ cert, key }: CertificateFiles): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(cert), key: readFileSync(key) };
  } catch (error) {
    throw new Error(`the certificate of a listener cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

export class CertificateWatch implements Disposable {
  readonly #server: Pick<Server, 'setSecureContext'>;
  readonly #files: CertificateFiles;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #loaded: string;
  /** Of the files as they were looked at last. */
  #stamp = '';

  /** @param loaded what `readCertificate` gave the server */
  constructor(
    server: Pick<Server, 'setSecureContext'>,
    files: CertificateFiles,
    loaded: { readonly cert: Buffer; readonly key: Buffer },
    log: Logger,
  ) {
    this.#server = server;
    this.#files = files;
    this.#log = log;
    this.#loaded = textOf(loaded);
    this.#timer = setInterval(() => void this.check(), checkMs).unref();
  }

  /** Reads the files again if they were touched; resolves with whether the server has a new certificate. */
  async check(): Promise<boolean> {
    const { cert, key } = this.#files;
    try {
      const stamps = await Promise.all([stat(cert), stat(key)]);
      const stamp = stamps.map(({ mtimeMs, ino, size }) => `${mtimeMs} ${ino} ${size}`).join(' ');
      if (stamp === this.#stamp) return false;
      const files = { cert: await readFile(cert), key: await readFile(key) };
      this.#stamp = stamp;
      const text = textOf(files);
      if (text === this.#loaded) return false;
      this.#server.setSecureContext(files);
      this.#loaded = text;
      this.#log.info({ cert }, 'a new certificate is in use');
      return true;
    } catch (error) {
      this.#log.warn({ err: error, cert }, 'the certificate of a listener was not renewed; the old one stays in use');
      return false;
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const textOf = ({ cert, key }: { readonly cert: Buffer; readonly key: Buffer }): string =>
  `${cert.toString()}\n${key.toString()}`;
