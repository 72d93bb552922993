/** Sending server notices, with a transaction id or without. */
import * as v from 'valibot';
import { jsonObject, maybe, route, type Route, type TransactionRecord } from '../http/index.ts';
import type { Database } from '../storage/index.ts';
import type { Accounts, ServerNotices } from '../userapi/index.ts';
import { localUser, v1 } from './common.ts';

export interface ServerNoticeParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly notices: ServerNotices;
}

const notice = v.object({
  user_id: v.string(),
  content: jsonObject,
  type: maybe(v.string()),
  state_key: maybe(v.string()),
});
const path = `${v1}/send_server_notice` as const;

export const serverNoticeRoutes = (parts: ServerNoticeParts): Route[] => [
  route({
    method: 'POST',
    path,
    auth: 'admin',
    rate: 'none',
    body: notice,
    canonicalBody: true,
    handle: ({ body }) => send(parts, body),
  }),
  route({
    method: 'PUT',
    path: `${path}/:txnId`,
    auth: 'admin',
    rate: 'none',
    body: notice,
    canonicalBody: true,
    transaction: 'txnId',
    handle: ({ body, transaction }) => send(parts, body, transaction),
  }),
];

function send(
  parts: ServerNoticeParts,
  { user_id: user, content, type, state_key: stateKey }: v.InferOutput<typeof notice>,
  transaction?: TransactionRecord,
): Promise<{ event_id: string }> {
  const userId = localUser(parts, user);
  return parts.db.write((tx) => {
    const sent = { event_id: parts.notices.send(tx, { userId, content, type, stateKey }).eventId };
    transaction?.record(tx, sent);
    return sent;
  });
}
