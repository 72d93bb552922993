/**
 * Sync tokens (DESIGN §6): a token is one Position, written in decimal, and means that everything up to it was sent.
 * Absent or 0 asks for an initial sync.
 */
import { matrixError } from '../matrix/errors.ts';
import { asPosition, type Position } from '../storage/index.ts';

const tokenText = /^\d{1,16}$/;

export const startOfTime = asPosition(0);

/** Reads a sync token. @throws M_INVALID_PARAM when it is none */
export function parseSyncToken(text: string | undefined): Position {
  if (text === undefined || text === '') return startOfTime;
  const value = tokenText.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw matrixError.invalidParam('since is not a token that this server gave out');
  return asPosition(value);
}

export const formatSyncToken = (position: Position): string => String(position);
