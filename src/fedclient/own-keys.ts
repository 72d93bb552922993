/** Our own keys: the document that we publish, and the signature that we put under others' as a notary. */
import { parseServerName, type ServerName } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import { signJson } from '../matrix/signing.ts';
import { decodeBase64 } from '../util/bytes.ts';
import type { Clock } from '../util/clock.ts';
import { writeKeyDocument, type PublishedKey } from './key-document.ts';
import type { SigningKey } from './signing-key.ts';

/** A key that this server signed with in earlier times, as the configuration names it. */
export interface OldKey {
  /** `ed25519:…` */
  readonly keyId: string;
  /** Unpadded base64. */
  readonly publicKey: string;
  /** ISO date and time. */
  readonly expiredAt: string;
}

/** What we say that our keys are good for; others keep them for half of it. */
const lifetimeMs = 24 * 3_600_000;
/** A document is given out for this long, so that at least 23 hours of it are left. */
const renewMs = 3_600_000;

export class OwnKeys {
  readonly serverName: ServerName;
  readonly signingKey: SigningKey;
  readonly #old: readonly PublishedKey[];
  readonly #clock: Clock;
  #document: JsonObject = {};
  #madeAt = Number.NEGATIVE_INFINITY;

  constructor(serverName: ServerName, signingKey: SigningKey, oldKeys: readonly OldKey[], clock: Clock) {
    this.serverName = serverName;
    this.signingKey = signingKey;
    this.#clock = clock;
    this.#old = oldKeys
      .map(({ keyId, publicKey, expiredAt }) => ({
        keyId,
        publicKey: decodeBase64(publicKey) ?? new Uint8Array(),
        expiredAt: Date.parse(expiredAt),
      }))
      .filter(({ keyId }) => keyId !== signingKey.keyId);
  }

  /** The signed document; it never expires in less than an hour (S-S API §Publishing Keys). */
  document(): JsonObject {
    const now = this.#clock.now();
    if (now - this.#madeAt >= renewMs || now < this.#madeAt) {
      const { keyId, key } = this.signingKey;
      this.#document = writeKeyDocument(
        { serverName: this.serverName, keyId, key, oldKeys: this.#old },
        now + lifetimeMs,
      );
      this.#madeAt = now;
    }
    return this.#document;
  }

  /** The public key that verifies what we signed at `at` (ms); undefined for one that was not ours then. */
  publicKey(keyId: string, at: number): Uint8Array | undefined {
    if (keyId === this.signingKey.keyId) return this.signingKey.key.publicKey;
    const old = this.#old.find((key) => key.keyId === keyId);
    return old?.expiredAt !== undefined && at <= old.expiredAt ? old.publicKey : undefined;
  }

  /** A copy with our signature beside those that are there. */
  countersign(document: JsonObject): JsonObject {
    return signJson(document, this.serverName, this.signingKey.keyId, this.signingKey.key);
  }
}

/** Names of trusted notaries that are server names. */
export const notaryNames = (names: readonly string[]): ServerName[] =>
  names.map((name) => parseServerName(name)).filter((name) => name !== undefined);
