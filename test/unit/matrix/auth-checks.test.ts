import { expect, test } from '@jest/globals';
import { authChecks } from '../../../src/matrix/auth-checks.ts';
import { keyPairFromSeed } from '../../../src/matrix/crypto/ed25519.ts';
import { signJson } from '../../../src/matrix/signing.ts';
import { encodeBase64 } from '../../../src/util/bytes.ts';

const key = keyPairFromSeed(new Uint8Array(32).fill(1));
const other = keyPairFromSeed(new Uint8Array(32).fill(2));
const publicKeys = [key, other].map((pair) => encodeBase64(pair.publicKey));
const signed = signJson({ mxid: '@bob:h2', token: 'tok' }, 'identity.server', 'ed25519:0', key);

test('a third-party invite counts as signed when any of its keys made any of the signatures', () => {
  expect(authChecks.verifyThirdPartySigned(signed, publicKeys)).toBe(true);
  expect(authChecks.verifyThirdPartySigned(signed, publicKeys.toReversed())).toBe(true);
});

test('another key, a changed block, no signature and no base64 do not count', () => {
  const { verifyThirdPartySigned } = authChecks;
  expect(verifyThirdPartySigned(signed, publicKeys.slice(1))).toBe(false);
  expect(verifyThirdPartySigned({ ...signed, mxid: '@eve:h3' }, publicKeys)).toBe(false);
  expect(verifyThirdPartySigned({ mxid: '@bob:h2', token: 'tok' }, publicKeys)).toBe(false);
  expect(verifyThirdPartySigned(signed, ['%%'])).toBe(false);
  expect(verifyThirdPartySigned({ ...signed, count: 0.5 }, publicKeys)).toBe(false);
});
