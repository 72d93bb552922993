/** Limits of single users in place of those of the configuration, as an administrator set them. */
import type { UserId } from '../matrix/ids.ts';
import { sql, type Snapshot, type Tx } from '../storage/index.ts';

/** Messages; both 0: the user is not limited at all. */
export interface RateOverride {
  readonly perSecond: number;
  readonly burst: number;
}

interface Row {
  user_id: UserId;
  per_second: number;
  burst: number;
}

const selectOverrides = sql<[], Row>('SELECT user_id, per_second, burst FROM userapi_rate_overrides');
const selectOverride = sql<[userId: string], Row>(
  'SELECT user_id, per_second, burst FROM userapi_rate_overrides WHERE user_id = ?',
);
const upsertOverride = sql<[userId: string, perSecond: number, burst: number]>(
  `INSERT INTO userapi_rate_overrides (user_id, per_second, burst) VALUES (?, ?, ?)
   ON CONFLICT (user_id) DO UPDATE SET per_second = excluded.per_second, burst = excluded.burst`,
);
const deleteOverride = sql<[userId: string]>('DELETE FROM userapi_rate_overrides WHERE user_id = ?');

const overrideOf = ({ per_second: perSecond, burst }: Row): RateOverride => ({ perSecond, burst });

export class RateOverrides {
  #onChange: (userId: UserId, override: RateOverride | undefined) => void = () => undefined;

  /** Calls `listener` with every override there is, and after each commit that changes one. */
  follow(snapshot: Snapshot, listener: (userId: UserId, override: RateOverride | undefined) => void): void {
    for (const row of snapshot.all(selectOverrides)) listener(row.user_id, overrideOf(row));
    this.#onChange = listener;
  }

  get(snapshot: Snapshot, userId: UserId): RateOverride | undefined {
    const row = snapshot.get(selectOverride, userId);
    return row === undefined ? undefined : overrideOf(row);
  }

  set(tx: Tx, userId: UserId, override: RateOverride): void {
    tx.run(upsertOverride, userId, override.perSecond, override.burst);
    tx.afterCommit(() => this.#onChange(userId, override));
  }

  delete(tx: Tx, userId: UserId): void {
    tx.run(deleteOverride, userId);
    tx.afterCommit(() => this.#onChange(userId, undefined));
  }
}
