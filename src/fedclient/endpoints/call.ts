/** What the functions of all endpoints share: paths, options, the one way to call. */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import type { Result } from '../../util/result.ts';
import type { FederationClient } from '../client.ts';
import { bytesOf, type FederationAnswer, type FederationRequest } from '../exchange.ts';
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
/** ms; of questions to whose answer someone waits. */
export const queryTimeoutMs = 20 * second;
export const mebibyte = 1024 * 1024;

/** Members beside the lists that are read. */
export const anything = v.looseObject({});

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

export const bodyText = async (answer: FederationAnswer): Promise<string> =>
  (await bytesOf(answer.body)).toString('utf8');
