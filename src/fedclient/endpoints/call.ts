/** What the functions of all endpoints share: paths, options, the one way to call. */
import type { ServerName } from '../../matrix/ids.ts';
import type { Result } from '../../util/result.ts';
import type { FederationClient } from '../client.ts';
import type { FederationAnswer, FederationRequest } from '../exchange.ts';
import type { FederationFault } from '../fault.ts';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Instead of the endpoint's own time, in ms. */
  readonly timeoutMs?: number;
  /** Ask even a server that did not answer lately. */
  readonly ignoreBackoff?: boolean;
}

export type Called<T> = Promise<Result<T, FederationFault>>;

export const second = 1000;
export const minute = 60 * second;
export const mebibyte = 1024 * 1024;

/** A path of which each inserted part is one segment. */
export function path(strings: TemplateStringsArray, ...parts: readonly string[]): string {
  return strings.reduce((text, piece, index) => text + encodeURIComponent(parts[index - 1] ?? '') + piece);
}

export const call = <T>(
  client: FederationClient,
  server: ServerName,
  request: FederationRequest,
  options: CallOptions,
  read: (answer: FederationAnswer) => Promise<T>,
): Called<T> => client.exchange(server, { ...request, ...options }, read);
