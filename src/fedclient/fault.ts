/** How a request to another server may fail; values, not exceptions. */
import type { JsonObject } from '../matrix/json.ts';

export type FederationFault =
  /** Our configuration forbids to speak with this server, or it is ourselves. */
  | { readonly kind: 'denied'; readonly message: string }
  /** It failed lately and is left alone until `retryAtMs` (epoch). */
  | { readonly kind: 'backing-off'; readonly message: string; readonly retryAtMs: number }
  /** Not found, not connected, wrong certificate, or the connection broke. */
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'timeout'; readonly message: string }
  /** The caller's signal. */
  | { readonly kind: 'aborted'; readonly message: string }
  /** It answered with an error. */
  | {
      readonly kind: 'http';
      readonly message: string;
      readonly status: number;
      /** `M_UNKNOWN` when the body names none. */
      readonly errcode: string;
      readonly body: JsonObject;
      readonly retryAfterMs: number | undefined;
    }
  /** It answered 200 with something that is not what the specification says. */
  | { readonly kind: 'bad-reply'; readonly message: string };

/** One line for the log; holds nothing of a body but its error code. */
export const describeFault = (fault: FederationFault): string =>
  fault.kind === 'http' ? `http ${fault.status} ${fault.errcode}` : `${fault.kind}: ${fault.message}`;
