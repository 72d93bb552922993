/**
 * Signed JSON (Appendices v1.19 §Signing JSON): a signature covers the canonical JSON of an object without `signatures`
 * and `unsigned`, and stands in `signatures` under the signer's name and the key's id. Which keys to trust is the
 * caller's business.
 */
import { decodeBase64, encodeBase64, utf8Bytes } from '../util/bytes.ts';
import { type CanonicalJsonOptions, canonicalJson } from './canonical-json.ts';
import { type KeyPair, type SignatureCheck, sign, verify } from './crypto/ed25519.ts';
import { type JsonObject, isJsonObject, memberOf } from './json.ts';

/** The text that a signature of `object` covers. @throws CanonicalJsonError */
export function signedText(object: JsonObject, options?: CanonicalJsonOptions): string {
  const { signatures: _signatures, unsigned: _unsigned, ...covered } = object;
  return canonicalJson(covered, options);
}

/** A copy of `object` with one more signature; those that are there stay. */
export function withSignature(
  object: JsonObject,
  signer: string,
  keyId: string,
  signature: Uint8Array,
): JsonObject & { signatures: JsonObject } {
  const present = isJsonObject(object.signatures) ? object.signatures : {};
  const ofSigner = memberOf(present, signer);
  const entry: JsonObject = { ...(isJsonObject(ofSigner) ? ofSigner : {}), [keyId]: encodeBase64(signature) };
  return { ...object, signatures: { ...present, [signer]: entry } };
}

/**
 * A copy of `object` signed by `signer` (a server name or user id) with the key called `keyId` (`ed25519:…`).
 * @throws CanonicalJsonError when the object has no canonical form
 */
export function signJson(
  object: JsonObject,
  signer: string,
  keyId: string,
  key: KeyPair,
  options?: CanonicalJsonOptions,
): JsonObject & { signatures: JsonObject } {
  return withSignature(object, signer, keyId, sign(utf8Bytes(signedText(object, options)), key));
}

export interface SignatureEntry {
  readonly signer: string;
  readonly keyId: string;
  /** Unpadded base64 as found; decode it with {@link decodeBase64}. */
  readonly signature: string;
}

/** Every `ed25519:` signature that an object claims to have, of all signers or of one; other algorithms are left out. */
export function signedBy(object: JsonObject, signer?: string): SignatureEntry[] {
  const entries: SignatureEntry[] = [];
  if (!isJsonObject(object.signatures)) return entries;
  for (const [name, keys] of Object.entries(object.signatures)) {
    if ((signer !== undefined && name !== signer) || !isJsonObject(keys)) continue;
    for (const [keyId, signature] of Object.entries(keys))
      if (keyId.startsWith('ed25519:') && typeof signature === 'string')
        entries.push({ signer: name, keyId, signature });
  }
  return entries;
}

/** What a batch verification needs for one claimed signature over `message`; undefined when the signature is not base64. */
export function signatureCheck(
  message: Uint8Array,
  entry: SignatureEntry,
  publicKey: Uint8Array,
): SignatureCheck | undefined {
  const signature = decodeBase64(entry.signature);
  return signature === undefined ? undefined : { message, signature, publicKey };
}

/** True when `object` carries a valid signature of `signer` with the key called `keyId` (§Checking for a Signature); never throws. */
export function verifyJson(
  object: JsonObject,
  signer: string,
  keyId: string,
  publicKey: Uint8Array,
  options?: CanonicalJsonOptions,
): boolean {
  const text = memberOf(memberOf(object.signatures, signer), keyId);
  const signature = typeof text === 'string' && keyId.startsWith('ed25519:') ? decodeBase64(text) : undefined;
  if (signature === undefined) return false;
  try {
    return verify(utf8Bytes(signedText(object, options)), signature, publicKey);
  } catch {
    return false;
  }
}
