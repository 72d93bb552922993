/**
 * Who ignores whom (C-S API v1.19 §Ignoring Users): what an ignored user sends neither notifies nor counts. Held by
 * sender, so that an event of someone whom nobody ignores costs one look-up.
 */
import type { AccountDataEntry } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { Snapshot, Tx } from '../storage/index.ts';

export interface IgnoreLists {
  /** The users whom a user ignores. */
  ignoredUsers(snapshot: Snapshot, user: UserId): ReadonlySet<string>;
  /** The users who may have such a list. */
  usersIgnoring(snapshot: Snapshot): readonly UserId[];
}

const nobody: ReadonlySet<UserId> = new Set();

export class Ignoring {
  readonly #lists: IgnoreLists;
  readonly #ignored = new Map<UserId, ReadonlySet<string>>();
  readonly #bySender = new Map<string, Set<UserId>>();

  constructor(lists: IgnoreLists, snapshot: Snapshot) {
    this.#lists = lists;
    for (const user of lists.usersIgnoring(snapshot)) this.#set(user, lists.ignoredUsers(snapshot, user));
  }

  /** The local users who ignore this one. */
  of(sender: string): ReadonlySet<UserId> {
    return this.#bySender.get(sender) ?? nobody;
  }

  /** A user's account data changed. */
  apply(tx: Tx, { user, roomId, type }: AccountDataEntry): void {
    if (roomId !== null || type !== 'm.ignored_user_list') return;
    const ignored = this.#lists.ignoredUsers(tx, user);
    tx.afterCommit(() => this.#set(user, ignored));
  }

  #set(user: UserId, ignored: ReadonlySet<string>): void {
    for (const sender of this.#ignored.get(user) ?? []) {
      const users = this.#bySender.get(sender);
      users?.delete(user);
      if (users?.size === 0) this.#bySender.delete(sender);
    }
    this.#ignored.set(user, ignored);
    for (const sender of ignored) {
      const users = this.#bySender.get(sender) ?? new Set();
      users.add(user);
      this.#bySender.set(sender, users);
    }
  }
}
