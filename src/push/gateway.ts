/**
 * Requests to push gateways. Their addresses come from users: only public ones are reached, and those that the operator
 * allows. A notification counts as taken when the gateway answers 2xx with a JSON object, and not before.
 */
import { asArray, asObject, parseJson } from '../matrix/json.ts';
import { AddressGuard } from '../util/address-guard.ts';
import { textUpTo } from '../util/bounded.ts';
import { messageOf } from '../util/error-text.ts';
import { guardedAgent } from '../util/guarded-agent.ts';
import { undici } from '../util/lazy.ts';
import { untilAborted } from '../util/until-aborted.ts';

export type GatewayAnswer =
  | { readonly kind: 'taken'; readonly rejected: readonly unknown[] }
  | { readonly kind: 'refused'; readonly reason: string; /** As the gateway asked for. */ readonly pauseMs: number };

export interface GatewayOptions {
  readonly allowNetworks: readonly string[];
  /** For a whole request, in ms. */
  readonly timeout: number;
  readonly userAgent: string;
}

export interface Gateway {
  /** Sends one notification; never throws. */
  notify(url: string, body: string, signal: AbortSignal): Promise<GatewayAnswer>;
  /** Ends all connections. */
  close(): Promise<void>;
}

/** To one gateway at a time: a pusher that it lets wait must not hold up the others. */
const connections = 64;
/** Bytes of an answer that are read. */
const maxAnswer = 65_536;

export function createGateway({ allowNetworks, timeout, userAgent }: GatewayOptions): Gateway {
  const agent = guardedAgent(new AddressGuard(allowNetworks), timeout, undefined, connections);
  const post = async (url: string, body: string, signal: AbortSignal): Promise<GatewayAnswer> => {
    const until = AbortSignal.any([signal, AbortSignal.timeout(timeout)]);
    const asked = undici().request(url, {
      dispatcher: agent.dispatcher,
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'User-Agent': userAgent },
      body,
      // An answer too many on a connection that is used again would be taken for that of the next notification.
      reset: true,
      signal: until,
    });
    const response = await untilAborted(asked, until);
    const { statusCode: status, headers } = response;
    const text = await textUpTo(response.body as AsyncIterable<Buffer>, maxAnswer);
    if (status < 200 || status > 299) {
      return { kind: 'refused', reason: `status ${status}`, pauseMs: pauseOf(headers['retry-after']) };
    }
    const answer = asObject(parseJson(text));
    if (answer === undefined) return { kind: 'refused', reason: 'the answer is no JSON object', pauseMs: 0 };
    return { kind: 'taken', rejected: asArray(answer['rejected']) ?? [] };
  };
  return {
    notify: (url, body, signal) =>
      post(url, body, signal).catch((error: unknown) => ({
        kind: 'refused' as const,
        reason: messageOf(error),
        pauseMs: 0,
      })),
    close: () => agent.destroy(),
  };
}

/** `Retry-After` in seconds, as ms; 0 when there is none. */
function pauseOf(value: string | string[] | undefined): number {
  return typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : 0;
}
