/**
 * Users who wanted to be erased (C-S API v1.19 §Account deactivation, INVARIANTS 17): their events stay for who was in the
 * room, and come redacted to everyone else. Few users ever are, so all of them are held in memory.
 */
import type { UserId } from '../../matrix/ids.ts';
import { type Snapshot, type Tx, sql } from '../../storage/index.ts';
import type { StateKeyNid } from '../types.ts';
import type { Names } from './nids.ts';

const selectErased = sql<[], { user: number }>('SELECT user FROM room_erased_senders');
const insertErased = sql<[user: number]>('INSERT OR IGNORE INTO room_erased_senders (user) VALUES (?)');

export class ErasedSenders {
  readonly #keys: Names<StateKeyNid>;
  readonly #users: Set<string>;

  constructor(snapshot: Snapshot, keys: Names<StateKeyNid>) {
    this.#keys = keys;
    this.#users = new Set(snapshot.all(selectErased).map(({ user }) => keys.text(snapshot, user as StateKeyNid)));
  }

  has(user: string): boolean {
    return this.#users.has(user);
  }

  /** There is no way back. */
  add(tx: Tx, user: UserId): void {
    tx.run(insertErased, this.#keys.intern(tx, user));
    tx.afterCommit(() => this.#users.add(user));
  }
}
