/** Which characters a page's bytes are: byte order mark, header, what the page says of itself, a good guess. */
import { TextDecoder } from 'node:util';

const sniffLength = 4096;

const decoderFor = (label: string | undefined): TextDecoder | undefined => {
  try {
    return label === undefined ? undefined : new TextDecoder(label);
  } catch {
    return undefined;
  }
};

/** The `charset` parameter of a `Content-Type`. */
export const charsetOf = (contentType: string): string | undefined =>
  /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1];

function declaredIn(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, sniffLength)).toString('latin1');
  const label =
    /<meta[^>]+charset\s*=\s*["']?\s*([^\s"'/>;]+)/i.exec(head)?.[1] ??
    /^\s*<\?xml[^>]+encoding\s*=\s*["']([^"']+)["']/i.exec(head)?.[1];
  // The page was just read as ASCII: whatever it says, it is none of these (HTML §Determining the character encoding).
  return label !== undefined && /^utf-?16|^ucs-?2/i.test(label) ? 'utf-8' : label;
}

const marked = (bytes: Uint8Array): string | undefined => {
  const [a, b, c] = bytes;
  if (a === 0xef && b === 0xbb && c === 0xbf) return 'utf-8';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  return a === 0xff && b === 0xfe ? 'utf-16le' : undefined;
};

/** A page as text. Never fails: what fits no encoding becomes replacement characters. */
export function decodePage(bytes: Uint8Array, contentType: string): string {
  const decoder =
    decoderFor(marked(bytes)) ?? decoderFor(charsetOf(contentType)) ?? decoderFor(declaredIn(bytes)) ?? guess(bytes);
  return decoder.decode(bytes);
}

function guess(bytes: Uint8Array): TextDecoder {
  try {
    // Streaming: the limit may have cut the last character in two.
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return new TextDecoder('utf-8');
  } catch {
    return new TextDecoder('windows-1252');
  }
}
