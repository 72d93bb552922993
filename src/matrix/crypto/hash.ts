/** SHA-256 in the two text forms that the specification uses (Appendices v1.19 §Unpadded Base64). */
import { hash } from 'node:crypto';

/** SHA-256 of UTF-8 text or bytes as unpadded base64 (43 characters). */
export const sha256Base64 = (data: string | Uint8Array): string => hash('sha256', data, 'base64').slice(0, 43);

/** SHA-256 of UTF-8 text or bytes as unpadded URL-safe base64 (43 characters). */
export const sha256Base64Url = (data: string | Uint8Array): string => hash('sha256', data, 'base64url');
