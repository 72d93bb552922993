/**
 * A user's push rules (C-S API v1.19 §Push Rules): the predefined ones, what he changed about them, and his own. Stored
 * is only the difference from the predefined ruleset, so that new predefined rules reach everyone.
 */
import type { Bus } from '../bus/index.ts';
import { fullRuleset, type DefaultRuleChoice } from '../matrix/default-push-rules.ts';
import { matrixError } from '../matrix/errors.ts';
import type { RoomId, UserId } from '../matrix/ids.ts';
import type { JsonValue } from '../matrix/json.ts';
import { compileRuleset } from '../matrix/push-rules.ts';
import type { CompiledRuleset, PushRule, RuleKind, Ruleset } from '../matrix/push-rules.ts';
import type { Snapshot, Tx } from '../storage/index.ts';
import { LruCache } from '../util/lru.ts';
import { selectRuleset, selectUsersWithRules, upsertRuleset } from './storage.ts';

interface RuleChange {
  readonly enabled?: boolean;
  readonly actions?: readonly JsonValue[];
}

/** What is stored of a user: own rules by kind, most important first, and changes to predefined rules by id. */
interface StoredRules {
  readonly own: Readonly<Record<RuleKind, readonly PushRule[]>>;
  readonly changed: Readonly<Record<string, RuleChange>>;
}

/** Where a new or updated rule goes among the user's own rules of its kind. */
export interface RulePlacement {
  readonly before?: string | undefined;
  readonly after?: string | undefined;
}

interface Effective {
  readonly ruleset: Ruleset;
  compiled?: CompiledRuleset;
}

const noRules: StoredRules = { own: { override: [], content: [], room: [], sender: [], underride: [] }, changed: {} };

export class PushRules {
  readonly #bus: Bus;
  /** Effective rulesets by user and Position of the last change: immutable values under immutable keys. */
  readonly #cache = new LruCache<string, Effective>({ max: 1000 });
  /** Users whose ruleset is not just the predefined one. */
  readonly #users: Set<string>;
  /** Which rules everyone has. */
  readonly choice: DefaultRuleChoice;

  constructor(bus: Bus, choice: DefaultRuleChoice, snapshot: Snapshot) {
    this.#bus = bus;
    this.choice = choice;
    this.#users = new Set(snapshot.all(selectUsersWithRules).map((row) => row.user_id));
  }

  /** Users who changed anything; all others have the predefined rules. */
  get usersWithRules(): ReadonlySet<string> {
    return this.#users;
  }

  /** The user's effective rules, in the order in which they are checked within each kind. */
  ruleset(snapshot: Snapshot, user: UserId): Ruleset {
    return this.#effective(snapshot, user).ruleset;
  }

  /** The same, ready to be held against events. */
  compiled(snapshot: Snapshot, user: UserId): CompiledRuleset {
    const effective = this.#effective(snapshot, user);
    return (effective.compiled ??= compileRuleset(effective.ruleset));
  }

  /** Position of the user's last change; 0: never. */
  lastChange(snapshot: Snapshot, user: UserId): number {
    return snapshot.get(selectRuleset, user)?.position ?? 0;
  }

  /** @throws M_NOT_FOUND */
  rule(snapshot: Snapshot, user: UserId, kind: RuleKind, ruleId: string): PushRule {
    const rule = this.ruleset(snapshot, user)[kind].find((candidate) => candidate.rule_id === ruleId);
    if (rule === undefined) throw matrixError.notFound('The push rule was not found');
    return rule;
  }

  /** Adds or replaces one of the user's own rules. @throws M_NOT_FOUND when `before` or `after` name no own rule */
  put(tx: Tx, user: UserId, kind: RuleKind, rule: PushRule, placement: RulePlacement): void {
    const stored = this.#stored(tx, user);
    const existing = stored.own[kind].findIndex((candidate) => candidate.rule_id === rule.rule_id);
    const rules = stored.own[kind].filter((candidate) => candidate.rule_id !== rule.rule_id);
    const anchor = placement.before ?? placement.after;
    let index = existing === -1 ? 0 : existing;
    if (anchor !== undefined) {
      const found = rules.findIndex((candidate) => candidate.rule_id === anchor);
      if (found === -1) throw matrixError.notFound(`before/after rule not found: ${anchor}`);
      index = placement.before === undefined ? found + 1 : found;
    }
    rules.splice(index, 0, rule);
    this.#store(tx, user, { ...stored, own: { ...stored.own, [kind]: rules } });
  }

  /** @throws M_NOT_FOUND; predefined rules cannot be deleted */
  delete(tx: Tx, user: UserId, kind: RuleKind, ruleId: string): void {
    const stored = this.#stored(tx, user);
    const rules = stored.own[kind].filter((candidate) => candidate.rule_id !== ruleId);
    if (rules.length === stored.own[kind].length) throw matrixError.notFound('The push rule was not found');
    this.#store(tx, user, { ...stored, own: { ...stored.own, [kind]: rules } });
  }

  /** Changes one property of a rule, own or predefined. @throws M_NOT_FOUND */
  change(
    tx: Tx,
    user: UserId,
    kind: RuleKind,
    ruleId: string,
    change: { readonly enabled: boolean } | { readonly actions: readonly JsonValue[] },
  ): void {
    const current = this.rule(tx, user, kind, ruleId);
    const stored = this.#stored(tx, user);
    if (current.default) {
      const changed = { ...stored.changed, [ruleId]: { ...stored.changed[ruleId], ...change } };
      return this.#store(tx, user, { ...stored, changed });
    }
    const rules = stored.own[kind].map((rule) => (rule.rule_id === ruleId ? { ...rule, ...change } : rule));
    this.#store(tx, user, { ...stored, own: { ...stored.own, [kind]: rules } });
  }

  /** A user has moved on to the successor of a room: his rules for the old room hold for the new one too. */
  followUpgrade(tx: Tx, user: UserId, from: RoomId, to: RoomId): void {
    const rule = this.#stored(tx, user).own.room.find((candidate) => candidate.rule_id === from);
    if (rule !== undefined) this.put(tx, user, 'room', { ...rule, rule_id: to }, {});
  }

  #effective(snapshot: Snapshot, user: UserId): Effective {
    const row = snapshot.get(selectRuleset, user);
    const key = `${user} ${row?.position ?? 0}`;
    let effective = this.#cache.get(key);
    if (effective === undefined) {
      const { own, changed } = row === undefined ? noRules : (JSON.parse(row.rules) as StoredRules);
      effective = { ruleset: fullRuleset(user, { own, changed: new Map(Object.entries(changed)) }, this.choice) };
      this.#cache.set(key, effective);
    }
    return effective;
  }

  #stored(snapshot: Snapshot, user: UserId): StoredRules {
    const row = snapshot.get(selectRuleset, user);
    return row === undefined ? noRules : (JSON.parse(row.rules) as StoredRules);
  }

  #store(tx: Tx, user: UserId, rules: StoredRules): void {
    const position = tx.nextPosition();
    tx.run(upsertRuleset, user, JSON.stringify(rules), position);
    this.#bus.append(tx, { topic: 'user.account_data', user, roomId: null, type: 'm.push_rules' }, position);
    // Only ever too many: a user whose unit is rolled back is evaluated singly, with the same outcome.
    this.#users.add(user);
  }
}
