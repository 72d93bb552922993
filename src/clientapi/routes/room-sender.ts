/** What the room endpoints make of a request: its sender, and queries that must not be ignored. */
import type { Requester, TransactionRecord } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { Sender } from '../../roomserver/index.ts';
import * as v from 'valibot';

/** Optional free text; older clients send null. */
export const optionalText = v.nullish(v.string());

type Query = Readonly<Record<string, string | readonly string[]>>;

/**
 * The sender of an event. Application services may set its time with `ts` (AS API §Timestamp massaging); for others the
 * parameter means nothing.
 * @throws M_INVALID_PARAM
 */
export function senderOf(requester: Requester, transaction?: TransactionRecord, query: Query = {}): Sender {
  const { userId, deviceId, isGuest, isAdmin, isSuspended, appserviceId } = requester;
  const transactionId = transaction?.id;
  const originServerTs = appserviceId === undefined ? undefined : timestampOf(query.ts);
  return { userId, deviceId, transactionId, isGuest, isAdmin, isSuspended, originServerTs, appserviceId };
}

function timestampOf(text: string | readonly string[] | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ts = typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  if (ts === undefined) throw matrixError.invalidParam('ts is not a time in milliseconds');
  return ts;
}

/**
 * Refuses delayed events (MSC4140): sent at once instead, a call's delayed leave would end it.
 * @throws M_INVALID_PARAM
 */
export function refuseDelay(query: Query): void {
  if (Object.keys(query).some((key) => key.startsWith('org.matrix.msc4140.'))) {
    throw matrixError.invalidParam('This server does not delay events');
  }
}
