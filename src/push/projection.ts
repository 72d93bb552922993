/**
 * Decides, in the transaction of each live event, who is notified of it (INVARIANTS 7: facts, written once). Users with
 * the predefined rules share one evaluation, except those whom the event names; only users with rules of their own, and
 * those named, are evaluated singly. So an ordinary message costs the same in a room of two and of two thousand.
 */
import type { Bus, Projection, RedactedEntry, RoomEventEntry, StoredEntry } from '../bus/index.ts';
import { defaultRuleset } from '../matrix/default-push-rules.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import { evaluatePushRules, flattenEvent, type PushContext, type Ruleset } from '../matrix/push-rules.ts';
import { asObject, asString } from '../matrix/json.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Position, Tx } from '../storage/index.ts';
import type { UnreadCounts } from './counts.ts';
import type { PushRules } from './rules.ts';
import { deleteAction, highlightBit, insertAction, notifyBit, upsertOwnEvent } from './storage.ts';

/** Stands for any user without rules of his own: no event can name it. */
const anyone = '@:' as UserId;
const predefined = defaultRuleset(anyone);
/** How many relations are followed to find an event's thread (C-S API §Threading: at least 3). */
const maxHops = 3;

export interface PushProjectionParts {
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly rules: PushRules;
  readonly counts: UnreadCounts;
  readonly isLocal: (user: string) => boolean;
  /** Display name as the room knows it, for rules that look for it. */
  readonly displayName: (tx: Tx, entry: RoomEventEntry, user: UserId) => string | undefined;
}

export class PushProjection implements Projection {
  readonly name = 'push';
  readonly #parts: PushProjectionParts;

  constructor(parts: PushProjectionParts) {
    this.#parts = parts;
  }

  apply(tx: Tx, entry: StoredEntry, position: Position): void {
    if (entry.topic === 'room.event') this.#event(tx, entry, position);
    else if (entry.topic === 'event.redacted') this.#redacted(tx, entry);
  }

  #event(tx: Tx, entry: RoomEventEntry, position: Position): void {
    const event = this.#parts.rooms.roomEvent(tx, entry.event);
    const thread = this.#threadOf(tx, event);
    if (this.#parts.isLocal(entry.sender)) tx.run(upsertOwnEvent, entry.sender, entry.room, thread, position);
    const flat = flattenEvent(event);
    const evaluate = (ruleset: Ruleset, user: UserId): number =>
      outcome(evaluatePushRules(ruleset, flat, this.#context(tx, entry, event, user)));
    const everyone = evaluate(predefined, anyone);
    const named: Record<string, number> = {};
    for (const user of this.#singled(tx, entry, event)) {
      const own = evaluate(this.#parts.rules.ruleset(tx, user), user);
      if (own !== everyone) named[user] = own;
    }
    const names = Object.keys(named).length > 0 ? JSON.stringify(named) : null;
    if (everyone === 0 && names === null) return;
    tx.run(insertAction, entry.room, position, thread, everyone, entry.sender, names);
  }

  /** Joined local users whose outcome may differ from everyone's. */
  #singled(tx: Tx, entry: RoomEventEntry, event: RoomEvent): Set<UserId> {
    const candidates = new Set<string>(this.#parts.rules.usersWithRules);
    const mentions = asObject(event.content['m.mentions'])?.['user_ids'];
    if (Array.isArray(mentions)) for (const user of mentions) if (typeof user === 'string') candidates.add(user);
    if (event.stateKey?.startsWith('@') === true) candidates.add(event.stateKey);
    const singled = new Set<UserId>();
    for (const candidate of candidates) {
      const user = candidate as UserId;
      if (user === entry.sender || !this.#parts.isLocal(user)) continue;
      if (this.#parts.rooms.membership(tx, entry.room, user)?.membership === 'join') singled.add(user);
    }
    return singled;
  }

  #context(tx: Tx, entry: RoomEventEntry, event: RoomEvent, user: UserId): PushContext {
    const { rooms } = this.#parts;
    return {
      userId: user,
      displayName: user === anyone ? undefined : this.#parts.displayName(tx, entry, user),
      memberCount: () => rooms.joinedCount(tx, entry.room),
      powerLevels: () => {
        const levels = rooms.currentEvent(tx, entry.room, 'm.room.power_levels', '');
        return levels === undefined ? undefined : rooms.roomEvent(tx, levels.nid).content;
      },
      isCreator: () => rooms.roomByNid(tx, entry.room).creators.includes(event.sender),
    };
  }

  /** Event id of the root of the thread that the event belongs to; '' in the main timeline. */
  #threadOf(tx: Tx, event: RoomEvent): string {
    let current: RoomEvent = event;
    for (let hop = 0; hop <= maxHops; hop += 1) {
      const relation = asObject(current.content['m.relates_to']);
      const target = asString(relation?.['event_id']);
      if (relation === undefined || target === undefined) return '';
      if (relation['rel_type'] === 'm.thread') return target;
      const stored = this.#parts.rooms.eventById(tx, target);
      if (stored === undefined || stored.outlier || stored.rejected) return '';
      current = this.#parts.rooms.roomEvent(tx, stored.nid);
    }
    return '';
  }

  #redacted(tx: Tx, entry: RedactedEntry): void {
    const place = this.#parts.rooms.event(tx, entry.event)?.place;
    if (place === undefined || place.live === 0) return;
    if (tx.run(deleteAction, entry.room, place.slot).changes === 0) return;
    this.#parts.counts.invalidate(entry.room);
    for (const user of this.#parts.rooms.joinedLocalUsers(tx, entry.room)) {
      this.#parts.bus.append(tx, { topic: 'user.counts', room: entry.room, roomId: entry.roomId, user });
    }
  }
}

function outcome(result: { readonly notify: boolean; readonly highlight: boolean }): number {
  return result.notify ? notifyBit | (result.highlight ? highlightBit : 0) : 0;
}
