/**
 * Writing answers: always with an exact `Content-Length`, never chunked. Big bodies are turned to bytes in slices, so
 * that a sync response of many megabytes does not hold the event loop; files are streamed (stream.ts).
 */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Slice } from '../util/slice.ts';
import { JsonText, Reply } from './route.ts';
import { FileBody, FramedFile, sendFile, sendFramed } from './stream.ts';

/** On every answer (C-S API v1.19 §Web Browser Clients); written as one flat array because every request pays for it. */
const commonHeaders: readonly string[] = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Allow-Methods',
  'GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers',
  'X-Requested-With, Content-Type, Authorization',
  'Access-Control-Expose-Headers',
  'Retry-After',
];
const jsonType = 'application/json';
/** Characters that are turned to bytes between two looks at the clock. */
const sliceLength = 64 * 1024;

/** What a handler returned, as a Reply. */
export const asReply = (value: unknown): Reply => (value instanceof Reply ? value : new Reply(200, value ?? {}));

/** Answers a request. `head`: the headers alone, with the length that the body would have. */
export async function sendReply(response: ServerResponse, reply: Reply, head: boolean, last: boolean): Promise<void> {
  if (reply.body instanceof FileBody) return sendFile(response, reply.body, headersOf(reply, last), head);
  if (reply.body instanceof FramedFile)
    return sendFramed(response, reply.status, reply.body, headersOf(reply, last), head);
  const body = await encode(reply.body);
  if (response.destroyed) return;
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  response.writeHead(reply.status, [...headersOf(reply, last), 'Content-Length', String(length)]);
  if (head) response.end();
  else response.end(body);
}

function headersOf(reply: Reply, last: boolean): string[] {
  const headers = [...commonHeaders];
  if (!Object.keys(reply.headers).some((name) => name.toLowerCase() === 'content-type')) {
    headers.push('Content-Type', jsonType);
  }
  for (const [name, value] of Object.entries(reply.headers)) headers.push(name, value);
  if (last) headers.push('Connection', 'close');
  return headers;
}

/** Bytes, or a text that is short enough to go out in one piece with the headers. */
async function encode(body: unknown): Promise<Buffer | string> {
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (!(body instanceof JsonText)) return JSON.stringify(body);
  const length = body.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return length <= sliceLength ? body.chunks.join('') : encodeChunks(body.chunks);
}

async function encodeChunks(chunks: readonly string[]): Promise<Buffer> {
  const slice = new Slice();
  const parts: Buffer[] = [];
  let pending = '';
  for (const chunk of chunks) {
    pending += chunk;
    if (pending.length < sliceLength) continue;
    parts.push(Buffer.from(pending, 'utf8'));
    pending = '';
    await slice.tick();
  }
  parts.push(Buffer.from(pending, 'utf8'));
  return Buffer.concat(parts);
}

/** Answers on a connection that never came to `sendReply` (a refused upgrade, what is no HTTP), and closes it. */
export function refuseRaw(stream: Duplex, status: string, value: unknown): void {
  const body = JSON.stringify(value);
  const lines = [`HTTP/1.1 ${status}`];
  for (let index = 0; index < commonHeaders.length; index += 2) {
    lines.push(`${commonHeaders[index]}: ${commonHeaders[index + 1]}`);
  }
  lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close');
  stream.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}
