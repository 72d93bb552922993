/**
 * What a page says of itself: OpenGraph properties first (https://ogp.me), then what stands in for them: Twitter cards,
 * oEmbed, the title, the description, the first paragraph. Bounded in number and length, since anybody writes pages.
 */
import { isJsonObject, type JsonObject } from '../../matrix/json.ts';
import { htmlParser } from '../../util/lazy.ts';

/** OpenGraph properties; URLs in them are as the page wrote them. */
export type Properties = Map<string, string>;

export interface Page {
  readonly properties: Properties;
  /** What relative URLs count from, when the page says so. */
  readonly base: string | undefined;
  /** Where the page's oEmbed description is, when it names one. */
  readonly oembed: string | undefined;
}

const maxProperties = 50;
const maxLength = 1000;
const paragraphMin = 40;
const paragraphMax = 300;
/** Text in these is not the page's. */
const silent = new Set(['script', 'style', 'noscript', 'template', 'svg', 'nav', 'header', 'footer', 'aside', 'form']);

const tidy = (text: string, length = maxLength): string => {
  const plain = text.replaceAll(/\s+/g, ' ').trim();
  if (plain.length <= length) return plain;
  return `${plain.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
};

class Reader {
  readonly meta = new Map<string, string>();
  title = '';
  paragraph = '';
  base: string | undefined;
  oembed: string | undefined;
  #collecting: 'title' | 'paragraph' | undefined;
  #silent = 0;

  open(name: string, attributes: Readonly<Record<string, string>>): void {
    if (silent.has(name)) this.#silent += 1;
    else if (name === 'meta') this.#meta(attributes);
    else if (name === 'link') this.#link(attributes);
    else if (name === 'base') this.base ??= attributes['href'];
    else if (name === 'title' && this.title === '' && this.#silent === 0) this.#collecting = 'title';
    else if (name === 'p' && this.paragraph.length < paragraphMin && this.#silent === 0) {
      this.paragraph = '';
      this.#collecting = 'paragraph';
    }
  }

  close(name: string): void {
    if (silent.has(name)) this.#silent = Math.max(0, this.#silent - 1);
    else if (name === 'title' || name === 'p') this.#collecting = undefined;
  }

  text(text: string): void {
    if (this.#collecting === undefined || this.#silent > 0) return;
    if (this[this.#collecting].length < maxLength) this[this.#collecting] += text;
  }

  #meta({ property, name, content }: Readonly<Record<string, string>>): void {
    const key = (property ?? name ?? '').trim().toLowerCase();
    if (content === undefined || this.meta.has(key) || this.meta.size >= maxProperties) return;
    if (!/^(og|article|book|profile|twitter):[a-z0-9:_-]{1,60}$|^description$/.test(key)) return;
    const value = tidy(content);
    if (value !== '') this.meta.set(key, value);
  }

  #link({ rel, type, href }: Readonly<Record<string, string>>): void {
    if (/(^|\s)alternate(\s|$)/i.test(rel ?? '') && type?.toLowerCase() === 'application/json+oembed') {
      this.oembed ??= href;
    }
  }
}

/** Reads a page; broken markup is read as far as it goes. */
export function readPage(html: string): Page {
  const reader = new Reader();
  const parser = new (htmlParser().Parser)({
    onopentag: (name, attributes) => reader.open(name, attributes),
    onclosetag: (name) => reader.close(name),
    ontext: (text) => reader.text(text),
  });
  parser.end(html);
  const properties: Properties = new Map();
  for (const [key, value] of reader.meta) {
    if (!key.startsWith('twitter:') && key !== 'description')
      properties.set(key.replace(/^og:image:url$/, 'og:image'), value);
  }
  const { meta } = reader;
  fill(properties, 'og:title', meta.get('twitter:title') ?? tidy(reader.title));
  fill(properties, 'og:description', meta.get('twitter:description') ?? meta.get('description'));
  fill(properties, 'og:image', meta.get('twitter:image') ?? meta.get('twitter:image:src'));
  const paragraph = tidy(reader.paragraph, paragraphMax);
  if (paragraph.length >= paragraphMin) fill(properties, 'og:description', paragraph);
  return { properties, base: reader.base, oembed: reader.oembed };
}

function fill(properties: Properties, key: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && !properties.has(key)) properties.set(key, tidy(value));
}

/** Fills what a page left open from its oEmbed description (https://oembed.com). */
export function addOembed(properties: Properties, description: unknown): void {
  if (!isJsonObject(description)) return;
  const oembed: JsonObject = description;
  fill(properties, 'og:title', oembed['title']);
  fill(properties, 'og:site_name', oembed['provider_name']);
  fill(properties, 'og:image', oembed['type'] === 'photo' ? oembed['url'] : oembed['thumbnail_url']);
  if (typeof oembed['html'] === 'string') fill(properties, 'og:description', plainText(oembed['html']));
  if (typeof oembed['author_name'] === 'string') fill(properties, 'og:description', oembed['author_name']);
}

function plainText(html: string): string {
  let text = '';
  let quiet = 0;
  const parser = new (htmlParser().Parser)({
    onopentagname: (name) => void (silent.has(name) && (quiet += 1)),
    onclosetag: (name) => void (silent.has(name) && (quiet -= 1)),
    ontext: (part) => void (quiet === 0 && (text += part)),
  });
  parser.end(html.slice(0, 20_000));
  return tidy(text, paragraphMax);
}
