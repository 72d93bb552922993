/**
 * The `multipart/mixed` answers of federation media (S-S API v1.19 §Content Repository): a part of JSON, then the file,
 * or the place where it is. The file flows through and is never held as a whole.
 */

export interface FilePart {
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Throws when the answer ends before the part does. */
  readonly pieces: AsyncIterable<Buffer>;
}

/** The answer is no well-formed multipart message of two parts. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError';
}

/** What comes before the file: both parts' headers and the JSON. */
const mostAhead = 128 * 1024;

/** The boundary of a `multipart/mixed` content type; undefined for others. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !/^multipart\/mixed\s*(?:;|$)/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/** Reads on to the second part. @throws MultipartError */
export async function openFilePart(body: AsyncIterable<Buffer>, boundary: string): Promise<FilePart> {
  const source = body[Symbol.asyncIterator]();
  let ahead = Buffer.alloc(0);
  const more = async (): Promise<void> => {
    const next: IteratorResult<Buffer, unknown> = await source.next();
    if (next.done === true) throw new MultipartError('the answer ends before the file');
    ahead = Buffer.concat([ahead, next.value]);
    if (ahead.length > mostAhead) throw new MultipartError('too much stands before the file');
  };
  /** Takes everything up to a mark and the mark itself. */
  const takeUntil = async (mark: string): Promise<string> => {
    for (;;) {
      const at = ahead.indexOf(mark);
      if (at !== -1) {
        const taken = ahead.toString('latin1', 0, at);
        ahead = ahead.subarray(at + mark.length);
        return taken;
      }
      await more();
    }
  };
  const headersOf = async (): Promise<ReadonlyMap<string, string>> => {
    // The rest of the delimiter's own line, then the headers; without headers the empty line follows at once.
    while (ahead.length < 2) await more();
    if (ahead.toString('latin1', 0, 2) === '--') throw new MultipartError('a part is missing');
    return parseHeaders(await takeUntil('\r\n\r\n'));
  };
  await takeUntil(`--${boundary}`);
  await headersOf();
  await takeUntil(`\r\n--${boundary}`);
  const headers = await headersOf();
  return { headers, pieces: untilDelimiter(ahead, source, Buffer.from(`\r\n--${boundary}`)) };
}

async function* untilDelimiter(
  start: Buffer,
  source: AsyncIterator<Buffer>,
  delimiter: Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  let held = start;
  for (;;) {
    const end = held.indexOf(delimiter);
    if (end !== -1) {
      if (end > 0) yield held.subarray(0, end);
      return;
    }
    // The last bytes may be the beginning of the delimiter.
    const sure = held.length - delimiter.length + 1;
    if (sure > 0) {
      yield held.subarray(0, sure);
      held = held.subarray(sure);
    }
    const next: IteratorResult<Buffer, unknown> = await source.next();
    if (next.done === true) throw new MultipartError('the file is cut off');
    held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
  }
}

function parseHeaders(text: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon < 1) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    // Header bytes are UTF-8 where they are not ASCII.
    if (!headers.has(name)) headers.set(name, Buffer.from(line.slice(colon + 1).trim(), 'latin1').toString('utf8'));
  }
  return headers;
}

/** The file name of a `Content-Disposition` header (RFC 6266); the extended form wins. */
export function filenameOf(disposition: string | undefined): string | undefined {
  if (disposition === undefined) return undefined;
  const extended = /;\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)/i.exec(disposition)?.[1];
  if (extended !== undefined) {
    try {
      return decodeURIComponent(extended);
    } catch {
      // Falls back to the plain form.
    }
  }
  const plain = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(disposition);
  return plain?.[1]?.replaceAll(/\\(.)/g, '$1') ?? plain?.[2];
}
