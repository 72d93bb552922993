/**
 * What a file is said to be and how it is handed out (C-S API v1.19 §Serving inline content): types and file names come
 * from users, so both are checked before they become headers.
 */

/** Formats that thumbnails are made of. */
export type ImageFormat = 'png' | 'jpeg' | 'gif' | 'webp' | 'avif';

const unknownType = 'application/octet-stream';
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const validType = new RegExp(`^${token}/${token}(\\s*;[\\x20-\\x7e]*)?$`);
/** Types that a browser shows without running anything of them. */
const inlineTypes = new Set(
  [
    'text/css text/plain text/csv application/json application/ld+json',
    'image/jpeg image/gif image/png image/apng image/webp image/avif',
    'video/mp4 video/webm video/ogg video/quicktime',
    'audio/mp4 audio/webm audio/aac audio/mpeg audio/ogg audio/wave audio/wav audio/x-wav audio/x-pn-wav audio/flac audio/x-flac',
  ].flatMap((line) => line.split(' ')),
);

/** A `Content-Type` as it is stored: what was sent, or `application/octet-stream` when that is no type. */
export function storedType(sent: string | undefined): string {
  const type = sent?.trim() ?? '';
  return type.length <= 255 && validType.test(type) ? type : unknownType;
}

/** Type and subtype in lower case, without parameters. */
export const essenceOf = (type: string): string => (type.split(';')[0] ?? '').trim().toLowerCase();

/** A file name as it is stored: without control characters; undefined when nothing is left. */
export function storedName(sent: string | undefined): string | undefined {
  const name = sent?.replaceAll(/[\p{Cc}\p{Cs}]/gu, '').slice(0, 1000) ?? '';
  return name === '' ? undefined : name;
}

const percent = (text: string): string =>
  encodeURIComponent(text).replaceAll(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** The `Content-Disposition` header (RFC 6266): `inline` for types that are safe to show, with the name when there is one. */
export function disposition(type: string, name: string | undefined): string {
  const kind = inlineTypes.has(essenceOf(type)) ? 'inline' : 'attachment';
  if (name === undefined) return kind;
  if (!/^[\x20-\x7e]*$/.test(name)) return `${kind}; filename*=utf-8''${percent(name)}`;
  return `${kind}; filename="${name.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/** Image format by the first bytes (16 are enough); whatever the sender called it. */
export function sniffFormat(head: Uint8Array): ImageFormat | undefined {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'webp';
  if (/^ftypavi[fs]/.test(text.slice(4))) return 'avif';
  return undefined;
}

/** Headers of every file that is served: nothing in it may run, and pages of other origins may show it. */
export const fileHeaders = {
  'Content-Security-Policy':
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'X-Robots-Tag': 'noindex, nofollow, noarchive, noimageindex',
} as const;
