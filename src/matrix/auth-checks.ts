/**
 * The signature check that the authorisation rules need, made from this server's own cryptography. It is passed to the
 * rules as a function, so that they stay free of keys.
 */
import { decodeBase64, utf8Bytes } from '../util/bytes.ts';
import type { AuthChecks } from './auth-types.ts';
import { verify } from './crypto/ed25519.ts';
import type { JsonObject } from './json.ts';
import { signedBy, signedText } from './signing.ts';

/** Whether any signature of a third-party invite's `signed` block was made by any of the keys (auth rule on invites). */
function verifyThirdPartySigned(signed: JsonObject, publicKeys: readonly string[]): boolean {
  try {
    const message = utf8Bytes(signedText(signed));
    const keys = publicKeys.map(decodeBase64);
    return signedBy(signed).some((entry) => {
      const signature = decodeBase64(entry.signature);
      return signature !== undefined && keys.some((key) => key !== undefined && verify(message, signature, key));
    });
  } catch {
    // Without a canonical form nothing can have signed it.
    return false;
  }
}

/** What the rules use unless a caller passes functions of its own. */
export const authChecks: AuthChecks = { verifyThirdPartySigned };
