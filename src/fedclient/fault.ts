/** How a request to another server may fail; values, not exceptions. */
import { MatrixError, matrixError } from '../matrix/errors.ts';
import { asString, memberOf, type JsonObject } from '../matrix/json.ts';

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

/**
 * What a client is told when it waits for another server's answer: that server's own refusal where there is one, else
 * that it could not be asked (502, 504).
 */
export function faultError(fault: FederationFault): MatrixError {
  switch (fault.kind) {
    case 'http':
      if (fault.status === 429) return matrixError.limitExceeded(fault.retryAfterMs ?? 1000);
      return fault.status >= 400 && fault.status < 500 && fault.status !== 401
        ? new MatrixError(fault.status, fault.errcode, messageOf(fault.body) ?? 'The other server refuses')
        : matrixError.connectionFailed('The other server answers with an error');
    case 'denied':
      return matrixError.forbidden('This server does not speak with the other one');
    case 'timeout':
      return matrixError.connectionTimeout('The other server does not answer in time');
    case 'unreachable':
    case 'backing-off':
    case 'aborted':
    case 'bad-reply':
      return matrixError.connectionFailed('The other server cannot be reached');
  }
}

/** An error's text, bounded. */
const messageOf = (body: JsonObject): string | undefined => asString(memberOf(body, 'error'))?.slice(0, 500);
