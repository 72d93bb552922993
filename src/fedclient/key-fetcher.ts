/**
 * Fetches a server's keys (S-S API v1.19 §Retrieving server keys): from the server itself, else from the notaries that
 * the operator trusts. Who was asked lately is left alone for a while.
 */
import type { ServerName } from '../matrix/ids.ts';
import { asArray, isJsonObject, memberOf, type JsonObject } from '../matrix/json.ts';
import { signedBy, verifyJson } from '../matrix/signing.ts';
import { nextPause, type BackoffPolicy } from '../util/backoff.ts';
import type { Clock } from '../util/clock.ts';
import { Gate } from '../util/gate.ts';
import { LruCache } from '../util/lru.ts';
import type { FederationClient } from './client.ts';
import { readKeyDocument, type KeyDocument } from './key-document.ts';
import { jsonReply } from './reply.ts';

export type FetchedKeys =
  /** One from the server itself (`direct`), or one or more from a notary. */
  | { readonly kind: 'documents'; readonly documents: readonly KeyDocument[]; readonly direct: boolean }
  /** Nobody gave a document. `answered`: nobody was asked, because that was done a moment ago and gave one. */
  | { readonly kind: 'none'; readonly answered: boolean };

export interface FetchWish {
  /** The server has just sent us something: ask it, even if it did not answer lately. */
  readonly present: boolean;
  /** Until when (ms) the keys should be good; tells a notary when to look again itself. */
  readonly minimumValidUntil: number;
  readonly keyIds: readonly string[];
}

export interface KeyFetcherParts {
  readonly client: FederationClient;
  readonly notaries: readonly ServerName[];
  /** A key of a notary, to verify its signature. */
  readonly keyOf: (server: ServerName, keyId: string) => Promise<Uint8Array | undefined>;
  readonly clock: Clock;
  readonly random?: () => number;
}

interface Asked {
  /** ms */
  readonly at: number;
  /** Whether it gave a document. */
  readonly worked: boolean;
  /** ms; when this outcome came first */
  readonly since: number;
  /** How often in a row it came. */
  readonly times: number;
  /** ms; after `at` nobody is asked for this long */
  readonly pauseMs: number;
}

const atOnce = 64;
const timeoutMs = 10_000;
const maxBytes = 1024 * 1024;
/** After failures. */
const failurePolicy: BackoffPolicy = { firstMs: 5000, youngMaxMs: 60_000, youngMs: 600_000, maxMs: 3_600_000 };
/** After documents that did not hold what was asked for: the key may have been made since, or be an invention. */
const emptyPolicy: BackoffPolicy = { firstMs: 1000, youngMaxMs: 60_000, youngMs: 600_000, maxMs: 300_000 };
/** Who has just sent us something may have come back a moment ago. */
const presentMaxMs = 15_000;
/** Attempts that are free of pauses: a server that restarts, or gets a new key, is not made to wait. */
const freeTimes = 4;
/** After so long all attempts are free again. */
const forgetMs = 3_600_000;

export class KeyFetcher {
  readonly #parts: KeyFetcherParts;
  readonly #gate = new Gate(atOnce);
  readonly #asked = new LruCache<ServerName, Asked>({ max: 50_000 });

  constructor(parts: KeyFetcherParts) {
    this.#parts = parts;
  }

  /** Never rejects. */
  async fetch(server: ServerName, wish: FetchWish): Promise<FetchedKeys> {
    const asked = this.#asked.get(server);
    if (asked !== undefined) {
      const pauseMs = wish.present ? Math.min(asked.pauseMs, presentMaxMs) : asked.pauseMs;
      if (asked.at + pauseMs > this.#parts.clock.now()) return { kind: 'none', answered: asked.worked };
    }
    return this.#gate.run(() => this.#fetch(server, wish));
  }

  /** The last document held what was looked for: the next question is welcome at once. */
  wasUseful(server: ServerName): void {
    if (this.#asked.peek(server)?.worked === true) this.#asked.delete(server);
  }

  async #fetch(server: ServerName, wish: FetchWish): Promise<FetchedKeys> {
    const own = await this.#fromServer(server, wish);
    if (own !== undefined) {
      this.#note(server, true);
      return { kind: 'documents', documents: [own], direct: true };
    }
    for (const notary of this.#parts.notaries) {
      const documents = notary === server ? [] : await this.#fromNotary(notary, server, wish);
      if (documents.length > 0) {
        this.#note(server, true);
        return { kind: 'documents', documents, direct: false };
      }
    }
    this.#note(server, false);
    return { kind: 'none', answered: false };
  }

  #note(server: ServerName, worked: boolean): void {
    const { clock, random = Math.random } = this.#parts;
    const at = clock.now();
    const before = this.#asked.peek(server);
    const same = before?.worked === worked && at - before.at < forgetMs ? before : undefined;
    const since = same?.since ?? at;
    const times = (same?.times ?? 0) + 1;
    const policy = worked ? emptyPolicy : failurePolicy;
    this.#asked.set(server, {
      at,
      worked,
      since,
      times,
      pauseMs: times <= freeTimes ? 0 : nextPause(policy, same?.pauseMs ?? 0, at - since, random()),
    });
  }

  async #fromServer(server: ServerName, { present }: FetchWish): Promise<KeyDocument | undefined> {
    const request = { method: 'GET', path: '/_matrix/key/v2/server', signed: false, timeoutMs, maxBytes } as const;
    const reply = await this.#parts.client.exchange(server, { ...request, ignoreBackoff: present }, jsonReply);
    return reply.ok ? readKeyDocument(reply.value, server) : undefined;
  }

  async #fromNotary(notary: ServerName, server: ServerName, wish: FetchWish): Promise<KeyDocument[]> {
    const criteria: JsonObject = { minimum_valid_until_ts: wish.minimumValidUntil };
    const ids = wish.keyIds.length === 0 ? {} : Object.fromEntries(wish.keyIds.map((id) => [id, criteria]));
    const reply = await this.#parts.client.exchange(
      notary,
      {
        method: 'POST',
        path: '/_matrix/key/v2/query',
        body: { server_keys: { [server]: ids } },
        timeoutMs: 2 * timeoutMs,
        maxBytes,
      },
      jsonReply,
    );
    const documents: KeyDocument[] = [];
    for (const entry of (reply.ok ? asArray(memberOf(reply.value, 'server_keys')) : undefined) ?? []) {
      const document = readKeyDocument(entry, server);
      if (document !== undefined && isJsonObject(entry) && (await this.#isSignedBy(notary, entry)))
        documents.push(document);
    }
    return documents;
  }

  async #isSignedBy(notary: ServerName, object: JsonObject): Promise<boolean> {
    for (const { keyId } of signedBy(object, notary).slice(0, 3)) {
      const key = await this.#parts.keyOf(notary, keyId);
      if (key !== undefined && verifyJson(object, notary, keyId, key)) return true;
    }
    return false;
  }
}
