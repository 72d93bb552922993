/** The list of accounts for administrators: filtered, ordered, in pages. */
import type { UserId } from '../matrix/ids.ts';
import { sql, type Snapshot, type SqlStatement, type SqlValue } from '../storage/index.ts';

/** Which accounts are wanted; undefined: all. */
export interface AccountQuery {
  /** Looked for in user ids. */
  readonly idPart: string | undefined;
  /** Looked for in localparts and display names; then `idPart` is not looked at. */
  readonly namePart: string | undefined;
  readonly guests: boolean | undefined;
  readonly admins: boolean | undefined;
  readonly deactivated: boolean | undefined;
  readonly locked: boolean | undefined;
  /** Types that are not wanted; '' stands for accounts without a type. */
  readonly notTypes: readonly string[];
  readonly orderBy: AccountOrder;
  readonly descending: boolean;
  readonly from: number;
  readonly limit: number;
}

export interface ListedAccount {
  readonly userId: UserId;
  readonly isGuest: boolean;
  readonly isAdmin: boolean;
  readonly userType: string | null;
  readonly deactivated: boolean;
  readonly erased: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly displayName: string | null;
  readonly avatarUrl: string | null;
  /** ms */
  readonly createdAt: number;
  /** ms; null: never */
  readonly lastSeenAt: number | null;
}

interface Row {
  user_id: UserId;
  kind: string;
  is_admin: number;
  user_type: string | null;
  deactivated: number;
  erased: number;
  locked: number;
  suspended: number;
  displayname: string | null;
  avatar_url: string | null;
  created_at: number;
  last_seen_at: number | null;
}

/** Orders by the names that administrators' tools use, as columns. Nobody is shadow-banned here. */
const orders = {
  name: 'user_id',
  is_guest: 'kind',
  admin: 'is_admin',
  user_type: 'user_type',
  deactivated: 'deactivated',
  shadow_banned: 'user_id',
  displayname: 'displayname',
  avatar_url: 'avatar_url',
  creation_ts: 'created_at',
  last_seen_ts: 'last_seen_at',
} as const;

export type AccountOrder = keyof typeof orders;
export const accountOrders = Object.keys(orders) as AccountOrder[];

const profileField = (field: string): string =>
  `(SELECT json_extract(value, '$') FROM userapi_profiles p WHERE p.user_id = a.user_id AND field = '${field}')`;
const matching = `
  WITH wish (id_part, name_part, guests, admins, deactivated, locked, not_types) AS (VALUES (?, ?, ?, ?, ?, ?, ?)),
  found AS (
    SELECT a.user_id, a.kind, a.is_admin, a.user_type, a.deactivated_at IS NOT NULL AS deactivated, a.erased, a.locked,
      a.suspended, a.created_at, ${profileField('displayname')} AS displayname,
      ${profileField('avatar_url')} AS avatar_url,
      (SELECT max(last_seen_at) FROM userapi_devices d WHERE d.user_id = a.user_id) AS last_seen_at
    FROM userapi_accounts a, wish w
    WHERE (w.guests IS NULL OR (a.kind = 'guest') = w.guests)
      AND (w.admins IS NULL OR a.is_admin = w.admins)
      AND (w.deactivated IS NULL OR (a.deactivated_at IS NOT NULL) = w.deactivated)
      AND (w.locked IS NULL OR a.locked = w.locked)
      AND coalesce(a.user_type, '') NOT IN (SELECT value FROM json_each(w.not_types))
      AND (w.name_part IS NOT NULL OR w.id_part IS NULL OR instr(lower(a.user_id), lower(w.id_part)) > 0)
      AND (w.name_part IS NULL OR instr(lower(substr(a.user_id, 2, instr(a.user_id, ':') - 2)), lower(w.name_part)) > 0
        OR instr(lower(${profileField('displayname')}), lower(w.name_part)) > 0)
  )`;

type Filters = SqlValue[];
const pages = new Map<string, SqlStatement<SqlValue[], Row>>();
for (const order of accountOrders) {
  for (const direction of ['ASC', 'DESC']) {
    const text = `${matching} SELECT * FROM found ORDER BY ${orders[order]} ${direction}, user_id LIMIT ? OFFSET ?`;
    pages.set(`${order} ${direction}`, sql<Filters, Row>(text));
  }
}
const countAccounts = sql<Filters, { total: number }>(`${matching} SELECT count(*) AS total FROM found`);

const bit = (value: boolean | undefined): number | null => (value === undefined ? null : Number(value));

/** A page of accounts, and how many there are in all. */
export function listAccounts(
  snapshot: Snapshot,
  query: AccountQuery,
): { readonly accounts: ListedAccount[]; readonly total: number } {
  const filters = [
    query.idPart ?? null,
    query.namePart ?? null,
    bit(query.guests),
    bit(query.admins),
    bit(query.deactivated),
    bit(query.locked),
    JSON.stringify(query.notTypes),
  ];
  const page = pages.get(`${query.orderBy} ${query.descending ? 'DESC' : 'ASC'}`);
  if (page === undefined) throw new Error(`no order by ${query.orderBy}`);
  const accounts = snapshot.all(page, ...filters, query.limit, query.from).map(accountOf);
  return { accounts, total: snapshot.get(countAccounts, ...filters)?.total ?? 0 };
}

const accountOf = (row: Row): ListedAccount => ({
  userId: row.user_id,
  isGuest: row.kind === 'guest',
  isAdmin: row.is_admin === 1,
  userType: row.user_type,
  deactivated: row.deactivated === 1,
  erased: row.erased === 1,
  locked: row.locked === 1,
  suspended: row.suspended === 1,
  displayName: row.displayname,
  avatarUrl: row.avatar_url,
  createdAt: row.created_at,
  lastSeenAt: row.last_seen_at,
});
