/** Fedclient: our signing key, and what speaks to other servers. */
export { loadSigningKey, type SigningKey } from './signing-key.ts';
