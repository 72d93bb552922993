/**
 * The key ring: public keys of other servers, as they published them (S-S API v1.19 §Retrieving server keys). Kept in
 * memory and on disk, asked for again after half of their lifetime, after they have expired, and when something is
 * signed with a key that is not known. No key counts for longer than 7 days after it was last seen.
 */
import type { ServerName } from '../matrix/ids.ts';
import { memberOf, type JsonObject } from '../matrix/json.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import { LruCache } from '../util/lru.ts';
import type { FederationClient } from './client.ts';
import type { KeyDocument } from './key-document.ts';
import { KeyFetcher } from './key-fetcher.ts';
import type { OwnKeys } from './own-keys.ts';
import {
  deleteSupersededDocuments,
  insertDocument,
  selectDocumentsByServer,
  selectKeysByServer,
  upsertKey,
} from './storage.ts';

export interface KnownKey {
  /** 32 bytes */
  readonly publicKey: Uint8Array;
  /** ms; `min(valid_until_ts, when it was fetched + 7 days)` */
  readonly validUntil: number;
  /** ms; when the server stopped using it; undefined: it is in use */
  readonly expiredAt: number | undefined;
}

export interface KeyWish {
  readonly server: ServerName;
  /** `ed25519:…` */
  readonly keyId: string;
  /** When the signature was made, in ms. */
  readonly at: number;
  /** Whether `valid_until_ts` counts (requests: yes; events: from room version 5 on). */
  readonly enforceValidity: boolean;
  /** The server has just sent us something. */
  readonly present?: boolean;
}

export type KeyAnswer =
  | { readonly kind: 'key'; readonly publicKey: Uint8Array }
  /** The server has no such key, or it was not good then. */
  | { readonly kind: 'none' }
  /** Nobody could be asked: another time the answer may be a key. */
  | { readonly kind: 'unreachable' };

export interface KeyRingParts {
  readonly db: Database;
  readonly client: FederationClient;
  readonly own: OwnKeys;
  readonly notaries: readonly ServerName[];
  readonly clock: Clock;
  readonly log: Logger;
}

interface ServerKeys {
  readonly keys: ReadonlyMap<string, KnownKey>;
  /** ms; half of the newest document's lifetime. */
  readonly refreshAt: number;
}

const trustMs = 7 * 24 * 3_600_000;
const nothing: ServerKeys = { keys: new Map(), refreshAt: Number.POSITIVE_INFINITY };

export class KeyRing {
  readonly #parts: KeyRingParts;
  readonly #fetcher: KeyFetcher;
  readonly #cache = new LruCache<ServerName, ServerKeys>({ max: 20_000 });
  /** One for everyone who waits for the same server's keys. */
  readonly #refreshes = new Map<ServerName, Promise<boolean>>();

  constructor(parts: KeyRingParts) {
    this.#parts = parts;
    const { client, notaries, clock } = parts;
    const keyOf = async (server: ServerName, keyId: string): Promise<Uint8Array | undefined> => {
      const answer = await this.key({ server, keyId, at: clock.now(), enforceValidity: true });
      return answer.kind === 'key' ? answer.publicKey : undefined;
    };
    this.#fetcher = new KeyFetcher({ client, notaries, keyOf, clock });
  }

  /** The key that verifies a signature, fetched if it has to be. Never rejects for what others do. */
  async key(wish: KeyWish): Promise<KeyAnswer> {
    const { server, keyId, at } = wish;
    if (server === this.#parts.own.serverName) {
      const publicKey = this.#parts.own.publicKey(keyId, at);
      return publicKey === undefined ? { kind: 'none' } : { kind: 'key', publicKey };
    }
    const known = this.#known(server);
    const good = goodKey(known, wish);
    if (good !== undefined) {
      if (known.refreshAt <= this.#parts.clock.now()) void this.#refresh(wish);
      return good;
    }
    // No document can make a key good for longer than this.
    if (wish.enforceValidity && at > this.#parts.clock.now() + trustMs) return { kind: 'none' };
    // A key that was given up before then does not come back.
    const expiredAt = known.keys.get(keyId)?.expiredAt;
    if (expiredAt !== undefined && expiredAt < at) return { kind: 'none' };
    const reached = await this.#refresh(wish);
    const now = goodKey(this.#known(server), wish);
    if (now !== undefined) this.#fetcher.wasUseful(server);
    return now ?? { kind: reached ? 'none' : 'unreachable' };
  }

  /**
   * For notaries: the documents of a server that hold any of `keyIds` (else all), newest first; fetched, if it `mayFetch`, when the newest is not good until
   * `minimumValidUntil` (ms) or one of `keyIds` is not known.
   */
  async documents(
    server: ServerName,
    keyIds: readonly string[],
    minimumValidUntil: number,
    mayFetch = true,
  ): Promise<JsonObject[]> {
    const suffices = (): boolean => {
      const { keys } = this.#known(server);
      const [newest] = this.#rows(server);
      return newest !== undefined && newest.valid_until >= minimumValidUntil && keyIds.every((id) => keys.has(id));
    };
    if (mayFetch && !suffices()) {
      await this.#refresh({ server, keyId: keyIds[0] ?? '', at: minimumValidUntil, enforceValidity: true });
      if (suffices()) this.#fetcher.wasUseful(server);
    }
    const documents = this.#rows(server).map(({ body }) => JSON.parse(body) as JsonObject);
    const wanted = documents.filter((document) => keyIds.some((id) => holdsKey(document, id)));
    return wanted.length > 0 ? wanted : documents;
  }

  /** Waits for what is under way. */
  async idle(): Promise<void> {
    while (this.#refreshes.size > 0) await Promise.all(this.#refreshes.values());
  }

  #rows(server: ServerName): { readonly body: string; readonly valid_until: number }[] {
    return this.#parts.db.read((snapshot) => snapshot.all(selectDocumentsByServer, server)).slice(0, 10);
  }

  #known(server: ServerName): ServerKeys {
    const cached = this.#cache.get(server);
    if (cached !== undefined) return cached;
    const known = this.#parts.db.read((snapshot): ServerKeys => {
      const [newest] = snapshot.all(selectDocumentsByServer, server);
      if (newest === undefined) return nothing;
      const keys = new Map<string, KnownKey>();
      for (const row of snapshot.all(selectKeysByServer, server))
        keys.set(row.key_id, {
          publicKey: row.public_key,
          validUntil: row.valid_until,
          expiredAt: row.expired_at ?? undefined,
        });
      return { keys, refreshAt: refreshTime(newest.fetched_at, newest.valid_until) };
    });
    this.#cache.set(server, known);
    return known;
  }

  /** Whether someone answered for the server, now or a moment ago. Joins a refresh that is under way; never rejects. */
  #refresh(wish: KeyWish): Promise<boolean> {
    const { server } = wish;
    let refresh = this.#refreshes.get(server);
    if (refresh === undefined) {
      refresh = this.#fetchAndStore(wish).finally(() => this.#refreshes.delete(server));
      this.#refreshes.set(server, refresh);
    }
    return refresh;
  }

  async #fetchAndStore({ server, keyId, at, present = false }: KeyWish): Promise<boolean> {
    const fetched = await this.#fetcher.fetch(server, {
      present,
      minimumValidUntil: at,
      keyIds: keyId === '' ? [] : [keyId],
    });
    if (fetched.kind === 'none') return fetched.answered;
    try {
      for (const document of fetched.documents) await this.#store(server, document, fetched.direct);
    } catch (error) {
      this.#parts.log.warn({ server, err: error }, 'keys could not be stored');
      return false;
    }
    return true;
  }

  /** What the server says itself replaces what is known; what a notary says does so unless it is older. */
  async #store(server: ServerName, document: KeyDocument, direct: boolean): Promise<void> {
    const now = this.#parts.clock.now();
    const validUntil = Math.min(document.validUntil, now + trustMs);
    await this.#parts.db.write((tx) => {
      const [newest] = tx.all(selectDocumentsByServer, server);
      const replaces = direct || newest === undefined || document.validUntil > newest.valid_until;
      const known = new Set(tx.all(selectKeysByServer, server).map((row) => row.key_id));
      const keys = document.keys.filter(({ keyId }) => replaces || !known.has(keyId));
      if (keys.length === 0) return;
      const body = JSON.stringify(document.object);
      const id = tx.run(insertDocument, server, body, now, document.validUntil).lastInsertRowid;
      for (const { keyId, publicKey, expiredAt } of keys)
        tx.run(upsertKey, server, keyId, publicKey, validUntil, expiredAt ?? null, id);
      tx.run(deleteSupersededDocuments, server, id);
      tx.afterCommit(() => this.#cache.delete(server));
    });
  }
}

const holdsKey = (document: JsonObject, keyId: string): boolean =>
  [document.verify_keys, document.old_verify_keys].some((keys) => memberOf(keys, keyId) !== undefined);

const refreshTime = (fetchedAt: number, validUntil: number): number =>
  fetchedAt + Math.max(60_000, Math.min(validUntil - fetchedAt, trustMs) / 2);

function goodKey({ keys }: ServerKeys, { keyId, at, enforceValidity }: KeyWish): KeyAnswer | undefined {
  const key = keys.get(keyId);
  if (key === undefined) return undefined;
  // "any keys that are known to have expired prior to the event's `origin_server_ts` are ignored"
  if (key.expiredAt !== undefined) return at <= key.expiredAt ? { kind: 'key', publicKey: key.publicKey } : undefined;
  return !enforceValidity || at <= key.validUntil ? { kind: 'key', publicKey: key.publicKey } : undefined;
}
