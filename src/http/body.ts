/**
 * The one body reader: JSON objects of any `Content-Type`, up to a limit in bytes; an empty body is `{}`
 * (C-S API v1.19 §API Standards).
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { matrixError } from '../matrix/errors.ts';
import { hasLoneSurrogate, isJsonObject, isTooDeep, parseJson, parseStrictJson } from '../matrix/json.ts';
import { mayHoldOddNumbers, parseLosslessJson } from '../matrix/json.ts';
import type { JsonObject, JsonValue } from '../matrix/json.ts';

/** A body that has not come whole by then belongs to nobody who wants an answer, in ms. */
const wholeWithinMs = 120_000;

/** Reads the whole body. What is too large is not kept. @throws MatrixError M_TOO_LARGE; Error when the client breaks off. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) return Promise.reject(tooLarge(limit));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limit) return void chunks.push(chunk);
      settle();
      // The rest flows by unread, so that the client gets to see the answer.
      request.resume();
      reject(tooLarge(limit));
    };
    const onEnd = (): void => {
      settle();
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size));
    };
    const onGone = (): void => {
      settle();
      reject(new ClientGone());
    };
    const late = setTimeout(() => void request.socket.destroy(), wholeWithinMs);
    const settle = (): void => {
      clearTimeout(late);
      request.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
    };
    request.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
  });
}

/** The client closed the connection in the middle of its request: nobody is there to be answered. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

const tooLarge = (limit: number) => matrixError.tooLarge(`The request body is larger than ${limit} bytes`);

const surrogateEscape = /\\u[dD][89a-fA-F]/;

/**
 * The JSON object in a body. `canonical`: it must be expressible as canonical JSON, and so is read from the raw text.
 * @throws MatrixError M_NOT_JSON, M_BAD_JSON
 */
export function parseBody(bytes: Buffer, canonical: boolean): JsonObject {
  if (bytes.length === 0) return {};
  if (!isUtf8(bytes)) throw matrixError.notJson('The request body is not valid UTF-8');
  const text = bytes.toString('utf8');
  const value = canonical ? parseCanonical(text) : parseLenient(text);
  if (!isJsonObject(value)) throw matrixError.badJson('The request body is not a JSON object');
  return value;
}

export interface SignedBody {
  /** With the source text of odd numbers, as the signature covers it; undefined for an empty body. */
  readonly content: JsonObject | undefined;
  /** Plain values; `{}` for an empty body. */
  readonly body: JsonObject;
  readonly text: string;
}

/** The JSON object that a server has signed. @throws MatrixError M_NOT_JSON, M_BAD_JSON */
export function parseSignedBody(bytes: Buffer): SignedBody {
  if (bytes.length === 0) return { content: undefined, body: {}, text: '' };
  if (!isUtf8(bytes)) throw matrixError.notJson('The request body is not valid UTF-8');
  const text = bytes.toString('utf8');
  const content = parseLosslessJson(text);
  if (content === undefined) throw matrixError.notJson();
  const body = mayHoldOddNumbers(text) ? parseJson(text) : content;
  if (!isJsonObject(content) || !isJsonObject(body)) throw matrixError.badJson('The request body is not a JSON object');
  return { content, body, text };
}

function parseLenient(text: string): JsonValue {
  const value = isTooDeep(text) ? undefined : parseJson(text);
  if (value === undefined) throw matrixError.notJson();
  if (surrogateEscape.test(text) && hasLoneSurrogate(value)) throw loneSurrogate();
  return value;
}

function parseCanonical(text: string): JsonValue {
  const result = parseStrictJson(text);
  if (result.ok) return result.value;
  switch (result.error) {
    case 'not-json':
      throw matrixError.notJson();
    case 'number':
      throw matrixError.badJson('Numbers in events are integers between -(2^53-1) and 2^53-1');
    case 'duplicate-key':
      throw matrixError.badJson('A key occurs twice in one object');
    case 'lone-surrogate':
      throw loneSurrogate();
  }
}

const loneSurrogate = () => matrixError.badJson('A string holds half of a surrogate pair');
