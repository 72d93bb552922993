/**
 * What the rows of administrators share. Paths and shapes are those that Synapse has made common: scripts, bridges,
 * moderation bots and consoles know them. Every row asks for an administrator, and every change is logged.
 */
import * as v from 'valibot';
import { demandUserId, wholeNumber, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Perform, Room, RoomReader } from '../roomserver/index.ts';
import type { Snapshot } from '../storage/index.ts';
import type { Account, Accounts } from '../userapi/index.ts';
import type { Logger } from '../util/log.ts';

export const v1 = '/_synapse/admin/v1';
export const v2 = '/_synapse/admin/v2';

/** `from` and `limit` of a list. */
export const pageQuery = {
  from: v.optional(wholeNumber, '0'),
  limit: v.optional(v.pipe(wholeNumber, v.maxValue(10_000, 'expected at most 10000')), '100'),
};

/** Where the next page begins; undefined: this was the last one. */
export const nextFrom = (from: number, shown: number, total: number): number | undefined =>
  shown > 0 && from + shown < total ? from + shown : undefined;

/** Rows whose changes are logged with who made them and on what (path parameters hold no secrets but `token`). */
export const audited = (rows: readonly Route[], log: Logger): Route[] =>
  rows.map((row) => {
    if (row.method === 'GET') return row;
    const handle: Route['handle'] = async (context) => {
      const value = await row.handle(context);
      const admin = context.requester?.userId;
      log.info({ admin, action: `${row.method} ${row.path}`, on: context.params }, 'an administrator made a change');
      return value;
    };
    return { ...row, handle };
  });

/** A user of this server, whether or not he exists. @throws M_INVALID_PARAM */
export function localUser({ accounts }: { readonly accounts: Accounts }, text: string): UserId {
  const userId = demandUserId(text);
  if (!accounts.isLocal(userId)) throw matrixError.invalidParam('The user does not belong to this server');
  return userId;
}

/** The account of a user of this server. @throws M_INVALID_PARAM, M_NOT_FOUND */
export function localAccount(snapshot: Snapshot, parts: { readonly accounts: Accounts }, text: string): Account {
  const account = parts.accounts.get(snapshot, localUser(parts, text));
  if (account === undefined) throw matrixError.notFound('There is no such user');
  return account;
}

/** A room that is known here, by its id or a local alias; not one that was purged. @throws M_INVALID_PARAM, M_NOT_FOUND */
export function knownRoom(
  snapshot: Snapshot,
  { rooms, perform }: { readonly rooms: RoomReader; readonly perform: Pick<Perform, 'aliases'> },
  text: string,
): Room {
  if (!/^[!#]/.test(text)) throw matrixError.invalidParam('This is neither a room id nor a room alias');
  const nid = text.startsWith('#') ? perform.aliases.roomOf(snapshot, text) : rooms.room(snapshot, text)?.nid;
  if (nid === undefined || rooms.currentSnapshot(snapshot, nid) === 0)
    throw matrixError.notFound('There is no such room');
  return rooms.roomByNid(snapshot, nid);
}
