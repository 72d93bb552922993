/**
 * Bodies that are too large for memory: a request's body read piece by piece by its handler, and files sent as answers,
 * whole or in part (RFC 9110 §14 Range Requests, §13 Conditional Requests).
 */
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { ClientGone } from './body.ts';

/** A client that sends nothing for this long in the middle of its body is gone. */
const silenceMs = 60_000;
/** Files up to this size are read at once; larger ones in pieces of this size. */
const pieceSize = 256 * 1024;

/** The request's body as it comes, for rows without a `body` schema. May be read once; the reader owes the limit. */
export class BodyStream implements AsyncIterable<Buffer> {
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage) {
    this.#request = request;
  }

  /** The `Content-Type` header as it came. */
  get contentType(): string | undefined {
    return this.#request.headers['content-type'];
  }

  /** Bytes that the client announced; undefined: it did not say. */
  get length(): number | undefined {
    const announced = this.#request.headers['content-length'];
    return announced === undefined ? undefined : Number(announced);
  }

  /** The pieces in order. Leaving early lets the rest flow by unread. @throws ClientGone when the client breaks off */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void> {
    const request = this.#request;
    const { socket } = request;
    const onSilence = (): void => void socket.destroy();
    socket.setTimeout(silenceMs, onSilence);
    try {
      yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
      if (!request.complete) throw new ClientGone();
    } catch {
      throw new ClientGone();
    } finally {
      socket.setTimeout(0).off('timeout', onSilence);
      // Unread bytes would be taken for the connection's next request.
      if (!request.readableEnded) request.resume();
    }
  }
}

/** A reply's body that is an open file; whoever sends it closes it. */
export class FileBody {
  readonly handle: FileHandle;
  /** Bytes. */
  readonly size: number;
  /** Strong entity tag, without quotes: the same tag means the same bytes. */
  readonly tag: string;

  constructor(handle: FileHandle, size: number, tag: string) {
    this.handle = handle;
    this.size = size;
    this.tag = tag;
  }
}

export type Range = { readonly start: number; readonly end: number };

/**
 * The part of a file that a `Range` header asks for, both ends included. `undefined`: the whole file (no header, several
 * ranges, or nothing that is understood); `unsatisfiable`: 416.
 */
export function rangeOf(header: string | undefined, size: number): Range | 'unsatisfiable' | undefined {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}

const namesTag = (header: string | undefined, tag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((part) => part.trim().replace(/^W\//, '') === tag));

/**
 * Answers with a file: 200, 206, 304 or 416 by the request's conditions. `headers` is the flat list of what every answer
 * of this request carries. Closes the file.
 */
export async function sendFile(
  response: ServerResponse,
  file: FileBody,
  headers: readonly string[],
  head: boolean,
): Promise<void> {
  try {
    const { req } = response;
    const tag = `"${file.tag}"`;
    const own = [...headers, 'Accept-Ranges', 'bytes', 'ETag', tag];
    if (namesTag(req.headers['if-none-match'], tag)) return void response.writeHead(304, own).end();
    const ifRange = req.headers['if-range'];
    const wanted = ifRange === undefined || ifRange === tag ? req.headers.range : undefined;
    const range = rangeOf(wanted, file.size);
    if (range === 'unsatisfiable') {
      own.push('Content-Range', `bytes */${file.size}`, 'Content-Length', '0');
      return void response.writeHead(416, own).end();
    }
    const { start, end } = range ?? { start: 0, end: file.size - 1 };
    if (range !== undefined) own.push('Content-Range', `bytes ${start}-${end}/${file.size}`);
    own.push('Content-Length', String(end - start + 1));
    response.writeHead(range === undefined ? 200 : 206, own);
    if (head || file.size === 0) return void response.end();
    await sendBytes(response, file.handle, start, end);
  } finally {
    await file.handle.close();
  }
}

async function sendBytes(response: ServerResponse, handle: FileHandle, start: number, end: number): Promise<void> {
  const length = end - start + 1;
  if (length <= pieceSize) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, start);
    if (bytesRead !== length) throw new Error('a file is shorter than it was');
    return void response.end(buffer);
  }
  const pieces = handle.createReadStream({ start, end, highWaterMark: pieceSize, autoClose: false });
  try {
    await pipeline(pieces, response);
  } catch (error) {
    // The client has gone away: nobody is there to be told.
    if (!response.destroyed || pieces.errored !== null) throw error;
  }
}

/** A reply's body that is an open file within a frame of a few bytes (a part of a multipart message), always sent whole. */
export class FramedFile {
  readonly head: Uint8Array;
  readonly file: FileBody;
  readonly tail: Uint8Array;

  constructor(head: Uint8Array, file: FileBody, tail: Uint8Array) {
    this.head = head;
    this.file = file;
    this.tail = tail;
  }
}

/** Answers 200 with a framed file. Closes the file. */
export async function sendFramed(
  response: ServerResponse,
  status: number,
  { head, file, tail }: FramedFile,
  headers: readonly string[],
  withoutBody: boolean,
): Promise<void> {
  const { handle, size } = file;
  try {
    response.writeHead(status, [...headers, 'Content-Length', String(head.length + size + tail.length)]);
    if (withoutBody) return void response.end();
    response.write(head);
    await pipeline(framed(handle, size, tail), response);
  } catch (error) {
    if (!response.destroyed) throw error;
  } finally {
    await handle.close();
  }
}

async function* framed(handle: FileHandle, size: number, tail: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size;) {
    const length = Math.min(pieceSize, size - at);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) throw new Error('a file is shorter than it was');
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
  yield tail;
}
