/** Keys and signatures as a client makes them. */
import { keyPairFromSeed, type KeyPair } from '../../src/matrix/crypto/ed25519.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import { signJson } from '../../src/matrix/signing.ts';
import { encodeBase64 } from '../../src/util/bytes.ts';

export interface NamedKey {
  readonly pair: KeyPair;
  /** Unpadded base64. */
  readonly id: string;
}

export function namedKey(seed: number): NamedKey {
  const pair = keyPairFromSeed(new Uint8Array(32).fill(seed));
  return { pair, id: encodeBase64(pair.publicKey) };
}

export const signedBy = (object: JsonObject, userId: string, key: NamedKey, name = key.id): JsonObject =>
  signJson(object, userId, `ed25519:${name}`, key.pair);

export const crossSigningKey = (userId: string, usage: string, key: NamedKey): JsonObject => ({
  user_id: userId,
  usage: [usage],
  keys: { [`ed25519:${key.id}`]: key.id },
});

export const deviceKeys = (userId: string, deviceId: string, key: NamedKey): JsonObject =>
  signedBy(
    {
      user_id: userId,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
      keys: { [`curve25519:${deviceId}`]: 'a'.repeat(43), [`ed25519:${deviceId}`]: key.id },
    },
    userId,
    key,
    deviceId,
  );
