/**
 * Decides, in the transaction of each live event, who is notified of it (INVARIANTS 7: facts, written once). Users with
 * the predefined rules share one evaluation, except those whom the event names; only users with rules of their own, and
 * those named, are evaluated singly. So an ordinary message costs the same in a room of two and of two thousand.
 */
import type { Bus, Projection, RedactedEntry, RoomEventEntry, StoredEntry } from '../bus/index.ts';
import { levelToNotify, powerLevelOf, powerLevelsFrom, type PowerLevels } from '../matrix/auth-power-levels.ts';
import { defaultRuleset } from '../matrix/default-push-rules.ts';
import type { UserId } from '../matrix/ids.ts';
import { asObject, asString, memberOf, type JsonObject } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import { compileRuleset, evaluatePushRules, type PushedEvent, type PushVerdict } from '../matrix/push-rules.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Position, Tx } from '../storage/index.ts';
import type { UnreadCounts } from './counts.ts';
import type { PushRules } from './rules.ts';
import { deleteAction, highlightBit, insertAction, notifyBit, upsertOwnEvent } from './storage.ts';

/** Stands for any user without rules of his own: no event can name it. */
const anyone = '@:' as UserId;
const predefined = compileRuleset(defaultRuleset(anyone));
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
    const pushed = this.#pushed(tx, entry, event);
    const everyone = outcome(evaluatePushRules(predefined, pushed, { userId: anyone, displayName: undefined }));
    const named: Record<string, number> = {};
    for (const user of this.#singled(tx, entry, event)) {
      const displayName = this.#parts.displayName(tx, entry, user);
      const own = evaluatePushRules(this.#parts.rules.compiled(tx, user), pushed, { userId: user, displayName });
      if (outcome(own) !== everyone) named[user] = outcome(own);
    }
    const names = Object.keys(named).length > 0 ? JSON.stringify(named) : null;
    if (everyone === 0 && names === null) return;
    tx.run(insertAction, entry.room, position, thread, everyone, entry.sender, names);
  }

  /** Joined local users whose outcome may differ from everyone's. */
  #singled(tx: Tx, entry: RoomEventEntry, event: RoomEvent): Set<UserId> {
    const candidates = new Set<string>(this.#parts.rules.usersWithRules);
    const mentions = memberOf(event.content['m.mentions'], 'user_ids');
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

  /** The event as push rules see it; what only few rules ask for is looked up when one does. */
  #pushed(tx: Tx, entry: RoomEventEntry, event: RoomEvent): PushedEvent {
    const { rooms } = this.#parts;
    let levels: PowerLevels | undefined;
    const powerLevels = (): PowerLevels => (levels ??= this.#powerLevels(tx, entry));
    const client: JsonObject = {
      type: event.type,
      sender: event.sender,
      room_id: event.roomId,
      event_id: event.eventId,
      content: event.content,
      ...(event.stateKey === undefined ? {} : { state_key: event.stateKey }),
    };
    return {
      event: client,
      roomId: event.roomId,
      sender: event.sender,
      get memberCount() {
        return rooms.joinedCount(tx, entry.room);
      },
      get senderPowerLevel() {
        return powerLevelOf(event.sender, powerLevels());
      },
      notificationLevel: (key) => levelToNotify(key, powerLevels()),
    };
  }

  #powerLevels(tx: Tx, entry: RoomEventEntry): PowerLevels {
    const { rooms } = this.#parts;
    const current = (type: string): RoomEvent | undefined => {
      const stored = rooms.currentEvent(tx, entry.room, type, '');
      return stored === undefined ? undefined : rooms.roomEvent(tx, stored.nid);
    };
    const { rules } = rooms.roomByNid(tx, entry.room);
    return powerLevelsFrom(current('m.room.create'), current('m.room.power_levels'), rules);
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

function outcome(result: PushVerdict): number {
  return result.notify ? notifyBit | (result.highlight ? highlightBit : 0) : 0;
}
