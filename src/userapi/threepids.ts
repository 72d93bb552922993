/**
 * Third-party identifiers of accounts (C-S API v1.19 §Adding Account Administrative Contact Information): which account
 * an address belongs to here, and which identity servers list it for the user.
 */
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { IdentityFault, type IdentityServers } from './identity-servers.ts';

export interface Threepid {
  readonly medium: string;
  readonly address: string;
}

export type UnbindResult = 'success' | 'no-support';

const selectOwner = sql<[medium: string, address: string], { user_id: string }>(
  'SELECT user_id FROM userapi_threepids WHERE medium = ? AND address = ?',
);
const selectOfUser = sql<[userId: string], { medium: string; address: string }>(
  'SELECT medium, address FROM userapi_threepids WHERE user_id = ?',
);
const insertThreepid = sql<[medium: string, address: string, userId: string, validatedAt: number, now: number]>(
  `INSERT INTO userapi_threepids (medium, address, user_id, validated_at, added_at) VALUES (?, ?, ?, ?, ?)
   ON CONFLICT (medium, address) DO UPDATE SET validated_at = excluded.validated_at`,
);
const deleteThreepid = sql<[medium: string, address: string, userId: string]>(
  'DELETE FROM userapi_threepids WHERE medium = ? AND address = ? AND user_id = ?',
);
const insertBinding = sql<[userId: string, medium: string, address: string, idServer: string]>(
  'INSERT OR IGNORE INTO userapi_bindings (user_id, medium, address, id_server) VALUES (?, ?, ?, ?)',
);
const selectBindings = sql<[userId: string], { medium: string; address: string; id_server: string }>(
  'SELECT medium, address, id_server FROM userapi_bindings WHERE user_id = ?',
);
const deleteBinding = sql<[userId: string, medium: string, address: string, idServer: string]>(
  'DELETE FROM userapi_bindings WHERE user_id = ? AND medium = ? AND address = ? AND id_server = ?',
);

/** The form in which identifiers are compared (Appendices §3PID Types): mail addresses without case. */
export const canonicalThreepid = ({ medium, address }: Threepid): Threepid => ({
  medium,
  address: medium === 'email' ? address.toLowerCase() : address,
});

export class Threepids {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #identity: IdentityServers;

  constructor(db: Database, clock: Clock, identity: IdentityServers) {
    this.#db = db;
    this.#clock = clock;
    this.#identity = identity;
  }

  /** Whether an account of this server has the identifier. */
  isTaken(snapshot: Snapshot, threepid: Threepid): boolean {
    const { medium, address } = canonicalThreepid(threepid);
    return snapshot.get(selectOwner, medium, address) !== undefined;
  }

  /** Gives a proven identifier to an account; `validatedAt` in ms. @throws M_THREEPID_IN_USE when another one has it */
  add(tx: Tx, userId: UserId, threepid: Threepid, validatedAt: number): void {
    const { medium, address } = canonicalThreepid(threepid);
    const owner = tx.get(selectOwner, medium, address)?.user_id;
    if (owner !== undefined && owner !== userId) throw matrixError.threepidInUse();
    tx.run(insertThreepid, medium, address, userId, validatedAt, this.#clock.now());
    tx.touch(`user:${userId}`);
  }

  /** Takes an identifier from the account; nothing happens when it has it not. */
  remove(tx: Tx, userId: UserId, threepid: Threepid): void {
    const { medium, address } = canonicalThreepid(threepid);
    tx.run(deleteThreepid, medium, address, userId);
    tx.touch(`user:${userId}`);
  }

  /**
   * Replaces an account's identifiers by those that an administrator vouches for; kept ones keep their times. Returns
   * what was taken away, for {@link unbind}. @throws M_THREEPID_IN_USE
   */
  replace(tx: Tx, userId: UserId, wanted: readonly Threepid[]): Threepid[] {
    const keyOf = ({ medium, address }: Threepid): string => `${medium} ${address}`;
    const wish = new Map(wanted.map(canonicalThreepid).map((threepid) => [keyOf(threepid), threepid]));
    const gone = tx.all(selectOfUser, userId).filter((threepid) => !wish.delete(keyOf(threepid)));
    for (const threepid of gone) this.remove(tx, userId, threepid);
    for (const threepid of wish.values()) this.add(tx, userId, threepid, this.#clock.now());
    return gone;
  }

  /** Has an identity server list what it has validated, and remembers it for {@link unbind}. @throws MatrixError */
  async bind(userId: UserId, credentials: BindCredentials): Promise<void> {
    const { idServer, accessToken, sid, clientSecret } = credentials;
    const bound = await this.#identity.bind(idServer, accessToken, { sid, client_secret: clientSecret, mxid: userId });
    const { medium, address } = canonicalThreepid(bound);
    await this.#db.write((tx) => void tx.run(insertBinding, userId, medium, address, idServer));
  }

  /**
   * Has identity servers forget one identifier of the user: the given one, else those through which it was bound.
   * `no-support` when none is known or one refuses.
   */
  async unbind(userId: UserId, threepid: Threepid, idServer?: string): Promise<UnbindResult> {
    const { medium, address } = canonicalThreepid(threepid);
    const bound = this.#db
      .read((snapshot) => snapshot.all(selectBindings, userId))
      .filter((row) => row.medium === medium && row.address === address)
      .map((row) => row.id_server);
    const servers = idServer === undefined ? bound : [idServer];
    return servers.length === 0 ? 'no-support' : this.#unbindFrom(userId, { medium, address }, servers);
  }

  /** Has identity servers forget everything that was bound for the user; success also when there is nothing. */
  async unbindAll(userId: UserId, idServer?: string): Promise<UnbindResult> {
    const rows = this.#db.read((snapshot) => snapshot.all(selectBindings, userId));
    const results = await Promise.all(
      rows.map((row) => this.#unbindFrom(userId, row, idServer === undefined ? [row.id_server] : [idServer])),
    );
    return results.every((result) => result === 'success') ? 'success' : 'no-support';
  }

  async #unbindFrom(userId: UserId, threepid: Threepid, servers: readonly string[]): Promise<UnbindResult> {
    const { medium, address } = threepid;
    let result: UnbindResult = 'success';
    for (const server of servers) {
      try {
        await this.#identity.unbind(server, userId, { medium, address });
        await this.#db.write((tx) => void tx.run(deleteBinding, userId, medium, address, server));
      } catch (error) {
        if (!(error instanceof IdentityFault)) throw error;
        result = 'no-support';
      }
    }
    return result;
  }
}

export interface BindCredentials {
  readonly idServer: string;
  readonly accessToken: string;
  readonly sid: string;
  readonly clientSecret: string;
}
