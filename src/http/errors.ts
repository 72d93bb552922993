/** What an error tells the outside: a MatrixError its own JSON, everything else an id and no text. */
import { MatrixError, matrixError } from '../matrix/errors.ts';
import { CommitError, isStorageFull } from '../storage/index.ts';
import type { Logger } from '../util/log.ts';
import { Reply } from './route.ts';

/** The answer to a request that ended in `error`; faults of our own are logged with the request's id. */
export function errorReply(error: unknown, requestId: string, log: Logger): Reply {
  if (error instanceof MatrixError) return new Reply(error.status, error.toJSON(), retryHeaders(error));
  if (isStorageFull(error)) {
    log.error({ request: requestId }, 'the disk is full: nothing can be stored');
    const full = matrixError.unknown(
      'The disk of the server is full: nothing can be stored until there is space again',
    );
    return new Reply(503, full.toJSON(), { 'Retry-After': '30' });
  }
  log.error({ request: requestId, err: error }, 'a request failed');
  if (error instanceof CommitError) {
    const again = matrixError.unknown(`The change could not be stored, logged as ${requestId}; it may be tried again`);
    return new Reply(503, again.toJSON(), { 'Retry-After': '1' });
  }
  return new Reply(500, matrixError.unknown(`Internal error, logged as ${requestId}`).toJSON());
}

function retryHeaders(error: MatrixError): Record<string, string> {
  const wait = error.extra['retry_after_ms'];
  if (error.status !== 429 || typeof wait !== 'number') return {};
  return { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1000))) };
}
