/**
 * The document in which a server publishes its keys (S-S API v1.19 §Publishing Keys): reading others', writing ours.
 */
import type { KeyPair } from '../matrix/crypto/ed25519.ts';
import { asInteger, asString, isJsonObject, memberOf, type JsonObject } from '../matrix/json.ts';
import { signedBy, signJson, verifyJson } from '../matrix/signing.ts';
import { decodeBase64, encodeBase64 } from '../util/bytes.ts';

/** A key as published: in use, or old. */
export interface PublishedKey {
  readonly keyId: string;
  /** 32 bytes */
  readonly publicKey: Uint8Array;
  /** ms; when the server stopped using it; undefined: it is in use */
  readonly expiredAt: number | undefined;
}

export interface KeyDocument {
  readonly keys: readonly PublishedKey[];
  /** ms, as the document says. */
  readonly validUntil: number;
  /** The document with no signatures but the server's own. */
  readonly object: JsonObject;
}

const keyIdText = /^ed25519:[A-Za-z0-9_+/=.-]{1,100}$/;
const mostKeys = 100;

function keysIn(value: unknown, old: boolean): PublishedKey[] {
  if (!isJsonObject(value)) return [];
  const keys: PublishedKey[] = [];
  for (const [keyId, entry] of Object.entries(value).slice(0, mostKeys)) {
    const publicKey = decodeBase64(asString(memberOf(entry, 'key')) ?? '');
    const expiredAt = old ? asInteger(memberOf(entry, 'expired_ts')) : undefined;
    if (!keyIdText.test(keyId) || publicKey?.byteLength !== 32 || (old && expiredAt === undefined)) continue;
    keys.push({ keyId, publicKey, expiredAt });
  }
  return keys;
}

/**
 * The document of `server`, if it is one: it names the server, and is signed by at least one of the keys in use that it
 * publishes, and by none of them wrongly.
 */
export function readKeyDocument(value: unknown, server: string): KeyDocument | undefined {
  if (!isJsonObject(value) || memberOf(value, 'server_name') !== server) return undefined;
  const validUntil = asInteger(memberOf(value, 'valid_until_ts'));
  const current = keysIn(memberOf(value, 'verify_keys'), false);
  if (validUntil === undefined || current.length === 0) return undefined;
  const signatures = new Set(signedBy(value, server).map(({ keyId }) => keyId));
  const signing = current.filter(({ keyId }) => signatures.has(keyId));
  if (signing.length === 0) return undefined;
  if (!signing.every(({ keyId, publicKey }) => verifyJson(value, server, keyId, publicKey))) return undefined;
  const inUse = new Set(current.map(({ keyId }) => keyId));
  const old = keysIn(memberOf(value, 'old_verify_keys'), true).filter(({ keyId }) => !inUse.has(keyId));
  const own = memberOf(value.signatures, server);
  return { keys: [...current, ...old], validUntil, object: { ...value, signatures: { [server]: own } } };
}

export interface OwnKeySet {
  readonly serverName: string;
  readonly keyId: string;
  readonly key: KeyPair;
  readonly oldKeys: readonly PublishedKey[];
}

/** Our own document, signed; exactly one key is in use. */
export function writeKeyDocument({ serverName, keyId, key, oldKeys }: OwnKeySet, validUntil: number): JsonObject {
  const old = oldKeys.map(({ keyId: id, publicKey, expiredAt }): [string, JsonObject] => [
    id,
    { expired_ts: expiredAt ?? 0, key: encodeBase64(publicKey) },
  ]);
  // In canonical order: some verify the bytes as they came, with the signatures cut out.
  const document: JsonObject = {
    old_verify_keys: Object.fromEntries(old),
    server_name: serverName,
    valid_until_ts: validUntil,
    verify_keys: { [keyId]: { key: encodeBase64(key.publicKey) } },
  };
  return signJson(document, serverName, keyId, key);
}
