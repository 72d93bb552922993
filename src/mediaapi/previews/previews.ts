/**
 * Previews of links (C-S API v1.19 §GET /media/preview_url): the OpenGraph data of a page, its image stored here under
 * an mxc URI. Answers are kept for a while, failures for a short one; who asks for what is being fetched waits for it.
 */
import type { Config } from '../../config/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { ServerName } from '../../matrix/ids.ts';
import { parseJson, type JsonObject } from '../../matrix/json.ts';
import { sql, type Database } from '../../storage/index.ts';
import { AddressGuard } from '../../util/address-guard.ts';
import type { Clock } from '../../util/clock.ts';
import { Gate } from '../../util/gate.ts';
import { guardedAgent } from '../../util/guarded-agent.ts';
import type { LazyAgent } from '../../util/lazy.ts';
import type { Logger } from '../../util/log.ts';
import { essenceOf, sniffFormat } from '../content-type.ts';
import type { MediaFiles } from '../files.ts';
import { formatMxc, newMediaId, type MediaId } from '../mxc.ts';
import type { Repository } from '../repository.ts';
import * as storage from '../storage.ts';
import type { Thumbnails } from '../thumbnails.ts';
import { decodePage } from './charset.ts';
import { FetchFailed, fetchableUrl, fetchUrl, type Fetched } from './fetch.ts';
import { addOembed, readPage, type Properties } from './open-graph.ts';

const selectPreview = sql<[url: string, now: number], { body: string | null }>(
  'SELECT body FROM media_previews WHERE url = ? AND expires_at > ?',
);
const upsertPreview = sql<[url: string, body: string | null, fetchedAt: number, expiresAt: number]>(
  `INSERT INTO media_previews (url, body, fetched_at, expires_at) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET body = excluded.body, fetched_at = excluded.fetched_at, expires_at = excluded.expires_at`,
);
const failureMs = 600_000;
const oembedLimit = 256 * 1024;
/** Pages fetched at once, and how many may wait for their turn. */
const maxRunning = 4;
const maxWaiting = 100;

export interface PreviewParts {
  readonly db: Database;
  readonly files: MediaFiles;
  readonly repository: Repository;
  readonly thumbnails: Thumbnails;
  readonly config: Config['previews'];
  readonly freezeUnauthenticated: boolean;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Previews implements AsyncDisposable {
  readonly #parts: PreviewParts;
  readonly #agent: LazyAgent;
  readonly #running = new Map<string, Promise<JsonObject | undefined>>();
  readonly #gate = new Gate(maxRunning);

  constructor(parts: PreviewParts) {
    this.#parts = parts;
    this.#agent = guardedAgent(new AddressGuard(parts.config.allowNetworks), parts.config.timeout);
  }

  /** The preview of a URL. @throws MatrixError M_NOT_FOUND (previews are off, nothing there), M_INVALID_PARAM, M_LIMIT_EXCEEDED */
  async preview(text: string): Promise<JsonObject> {
    const { db, config, clock } = this.#parts;
    if (!config.enabled) throw matrixError.notFound('This server makes no previews');
    const url = fetchableUrl(text);
    if (url === undefined) throw matrixError.invalidParam('The URL is not an http or https one');
    const key = url.href;
    const kept = db.read((snapshot) => snapshot.get(selectPreview, key, clock.now()));
    const body = kept === undefined ? await this.#join(key, url) : parseKept(kept.body);
    if (body === undefined) throw matrixError.notFound('The page could not be fetched');
    return body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
    await Promise.allSettled(this.#running.values());
  }

  #join(key: string, url: URL): Promise<JsonObject | undefined> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    if (this.#gate.waiting >= maxWaiting) throw matrixError.limitExceeded(5_000, 'Too many previews are being made');
    const fetching = this.#fetch(key, url).finally(() => this.#running.delete(key));
    this.#running.set(key, fetching);
    return fetching;
  }

  async #fetch(key: string, url: URL): Promise<JsonObject | undefined> {
    const { db, config, clock, log } = this.#parts;
    let body: JsonObject | undefined;
    try {
      body = await this.#gate.run(() => this.#make(url, AbortSignal.timeout(config.timeout)));
    } catch (error) {
      log.debug({ err: error }, 'a preview could not be made');
    }
    const now = clock.now();
    const expires = now + (body === undefined ? Math.min(failureMs, config.cache) : config.cache);
    const text = body === undefined ? null : JSON.stringify(body);
    await db.write((tx) => void tx.run(upsertPreview, key, text, now, expires));
    return body;
  }

  async #make(url: URL, signal: AbortSignal): Promise<JsonObject> {
    const { config } = this.#parts;
    const limit = Math.max(config.maxPageSize, config.maxImageSize);
    const page = await this.#get(url, 'text/html, application/xhtml+xml, image/*;q=0.8, */*;q=0.1', limit, signal);
    const type = essenceOf(page.contentType);
    if (type.startsWith('image/')) return this.#ofImage(page);
    if (type !== 'text/html' && type !== 'application/xhtml+xml') return {};
    return this.#ofPage(page, signal);
  }

  async #ofImage(page: Fetched): Promise<JsonObject> {
    const name = decodeName(page.url.pathname.split('/').at(-1) ?? '');
    const image = page.cut ? {} : await this.#store(page);
    return { ...(name === '' ? {} : { 'og:title': name }), ...image };
  }

  async #ofPage(page: Fetched, signal: AbortSignal): Promise<JsonObject> {
    const { maxPageSize } = this.#parts.config;
    const { properties, base, oembed } = readPage(decodePage(page.bytes.subarray(0, maxPageSize), page.contentType));
    const from = (base === undefined ? undefined : fetchableUrl(base, page.url)) ?? page.url;
    const description = oembed === undefined ? undefined : fetchableUrl(oembed, from);
    if (description !== undefined) await this.#addOembed(properties, description, signal);
    const source = properties.get('og:image') ?? properties.get('og:image:secure_url');
    for (const key of properties.keys())
      if (/^og:image(:|$)/.test(key) && key !== 'og:image:alt') properties.delete(key);
    const image = source === undefined ? {} : await this.#image(fetchableUrl(source, from), signal);
    return { ...Object.fromEntries(properties), ...image };
  }

  async #addOembed(properties: Properties, url: URL, signal: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    try {
      const { bytes, cut } = await this.#get(url, 'application/json+oembed, application/json', oembedLimit, signal);
      if (!cut) addOembed(properties, parseJson(bytes.toString('utf8')));
    } catch (error) {
      log.debug({ err: error }, 'an oEmbed description could not be fetched');
    }
  }

  async #image(url: URL | undefined, signal: AbortSignal): Promise<JsonObject> {
    const { config, log } = this.#parts;
    try {
      if (url === undefined) throw new FetchFailed('the image has no URL that is fetched');
      const fetched = await this.#get(url, 'image/*', config.maxImageSize, signal);
      if (fetched.cut) throw new FetchFailed('the image is too large');
      return await this.#store(fetched);
    } catch (error) {
      log.debug({ err: error }, 'the image of a preview could not be fetched');
      return {};
    }
  }

  /** Stores an image under an mxc URI of ours; what is no image gives no properties. */
  async #store({ bytes }: Fetched): Promise<JsonObject> {
    const { files, repository, thumbnails, clock, serverName, freezeUnauthenticated } = this.#parts;
    const format = sniffFormat(bytes);
    if (format === undefined || bytes.length > this.#parts.config.maxImageSize) return {};
    const received = await files.receive(once(bytes), bytes.length);
    const id: MediaId = { origin: serverName, mediaId: newMediaId() };
    const type = `image/${format}`;
    const now = clock.now();
    const { origin, mediaId } = id;
    const frozen = freezeUnauthenticated ? 1 : 0;
    await repository.put(received, (tx) => {
      tx.run(
        storage.insertItem,
        origin,
        mediaId,
        'preview',
        received.hash,
        type,
        null,
        null,
        now,
        now,
        null,
        now,
        frozen,
      );
    });
    const info = await thumbnails.describe(received.hash);
    if (info === undefined) {
      await repository.delete([id]);
      return {};
    }
    thumbnails.prepare(received.hash);
    return {
      'og:image': formatMxc(id),
      'og:image:type': type,
      'og:image:width': info.width,
      'og:image:height': info.height,
      'matrix:image:size': received.size,
    };
  }

  #get(url: URL, accept: string, limit: number, signal: AbortSignal): Promise<Fetched> {
    const { language } = this.#parts.config;
    const userAgent = 'Mozilla/5.0 (compatible; Neurite; link preview bot)';
    return fetchUrl(url, { agent: this.#agent.dispatcher, accept, language, userAgent, limit, signal });
  }
}

const parseKept = (body: string | null): JsonObject | undefined =>
  body === null ? undefined : (JSON.parse(body) as JsonObject);

const decodeName = (name: string): string => {
  try {
    return decodeURIComponent(name).slice(0, 200);
  } catch {
    return name.slice(0, 200);
  }
};

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}
