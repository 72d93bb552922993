/**
 * Decides, in the transaction of each live event, who is notified of it (INVARIANTS 7: facts, written once). Users with
 * the predefined rules share one evaluation, except those whom the event names; only users with rules of their own, and
 * those named, are evaluated singly. So an ordinary message costs the same in a room of two and of two thousand. Who has
 * pushers gets a row in their queues besides, with the tweaks of his own or of the shared verdict. (Where names in the
 * text count as mentions, all local members are looked through for each message without `m.mentions`.)
 */
import type {
  Bus,
  MembershipEntry,
  Projection,
  PurgedEntry,
  RedactedEntry,
  WithdrawnEntry,
  RoomEventEntry,
  RoomNid,
  StoredEntry,
} from '../bus/index.ts';
import { defaultRuleset } from '../matrix/default-push-rules.ts';
import type { UserId } from '../matrix/ids.ts';
import { asString, memberOf } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import { compileRuleset, evaluatePushRules, type CompiledRuleset, type PushVerdict } from '../matrix/push-rules.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Position, Tx } from '../storage/index.ts';
import { Audience } from './audience.ts';
import type { Badges } from './badges.ts';
import type { UnreadCounts } from './counts.ts';
import type { Ignoring } from './ignoring.ts';
import { pushedEvent, threadOf } from './pushed-event.ts';
import type { PushQueue } from './queue.ts';
import type { PushRules } from './rules.ts';
import {
  callBit,
  deleteAction,
  deleteActionsUpTo,
  deleteOwnEvents,
  highlightBit,
  insertAction,
  notifyBit,
  upsertOwnEvent,
} from './storage.ts';

/** Stands for any user without rules of his own: no event can name it. */
const anyone = '@:' as UserId;
const nothing: PushVerdict = { notify: false, highlight: false, sound: undefined, tweaks: {} };

export interface PushProjectionParts {
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly rules: PushRules;
  readonly counts: UnreadCounts;
  readonly badges: Badges;
  readonly queue: PushQueue;
  readonly ignoring: Ignoring;
  readonly isLocal: (user: string) => boolean;
  /** Display name as the room knows it, for rules that look for it. */
  readonly displayName: (tx: Tx, room: RoomNid, user: UserId) => string | undefined;
}

export class PushProjection implements Projection {
  readonly name = 'push';
  readonly #parts: PushProjectionParts;
  /** The rules of whoever has changed none. */
  readonly #predefined: CompiledRuleset;

  constructor(parts: PushProjectionParts) {
    this.#parts = parts;
    this.#predefined = compileRuleset(defaultRuleset(anyone, parts.rules.choice));
  }

  apply(tx: Tx, entry: StoredEntry, position: Position): void {
    switch (entry.topic) {
      case 'room.event':
        return this.#event(tx, entry, position);
      case 'event.redacted':
        return this.#redacted(tx, entry, position);
      case 'room.membership':
        return this.#membership(tx, entry, position);
      case 'room.receipt':
      case 'user.counts':
        if (!this.#parts.isLocal(entry.user)) return;
        this.#parts.badges.userChanged(tx, entry.user, entry.room);
        return this.#parts.queue.countsChanged(tx, entry.user, position);
      case 'user.account_data':
        return this.#parts.ignoring.apply(tx, entry);
      case 'room.purged':
        if (entry.whole) tx.run(deleteOwnEvents, entry.room);
        if (tx.run(deleteActionsUpTo, entry.room, entry.upTo).changes > 0) this.#recount(tx, entry, position);
        return;
      case 'event.withdrawn':
        if (tx.run(deleteAction, entry.room, entry.slot).changes > 0) this.#recount(tx, entry, position);
        return;
      case 'room.state':
      case 'room.unpartial':
      case 'room.backfilled':
      case 'user.profile':
      case 'user.device_list':
      case 'device.to_device':
      case 'device.key_counts':
    }
  }

  #event(tx: Tx, entry: RoomEventEntry, position: Position): void {
    const { rooms, queue, badges, rules } = this.#parts;
    const event = rooms.roomEvent(tx, entry.event);
    const thread = threadOf(rooms, tx, event);
    if (this.#parts.isLocal(entry.sender)) {
      tx.run(upsertOwnEvent, entry.sender, entry.room, thread, position);
      badges.userChanged(tx, entry.sender, entry.room);
      queue.countsChanged(tx, entry.sender, position);
    }
    const pushed = pushedEvent(rooms, tx, entry.room, event);
    const audience = new Audience(tx, rooms, entry.room);
    const everyone = evaluatePushRules(this.#predefined, pushed, { userId: anyone, displayName: undefined });
    const own = new Map<UserId, PushVerdict>();
    for (const user of this.#singled(tx, entry.room, audience, event)) {
      const displayName = this.#parts.displayName(tx, entry.room, user);
      own.set(user, evaluatePushRules(rules.compiled(tx, user), pushed, { userId: user, displayName }));
    }
    for (const user of audience.joinedAmong(this.#parts.ignoring.of(entry.sender))) own.set(user, nothing);

    const shared = outcome(everyone, event);
    const differing = [...own].flatMap(([user, verdict]) => {
      const single = outcome(verdict, event);
      return single === shared ? [] : [[user, single] as const];
    });
    if (shared === 0 && differing.length === 0) return;
    const named = differing.length > 0 ? JSON.stringify(Object.fromEntries(differing)) : null;
    tx.run(insertAction, entry.room, position, thread, shared, entry.sender, named);
    badges.roomChanged(tx, entry.room, position);
    const notice = { room: entry.room, event: entry.event, position, thread };
    for (const [user, verdict] of this.#notified(audience, entry.sender, everyone, own)) {
      queue.notify(tx, user, notice, verdict.tweaks);
    }
  }

  /** Users with pushers who are notified, and how. */
  *#notified(
    audience: Audience,
    sender: UserId,
    everyone: PushVerdict,
    own: ReadonlyMap<UserId, PushVerdict>,
  ): Iterable<[UserId, PushVerdict]> {
    const { users } = this.#parts.queue;
    for (const [user, verdict] of own) if (verdict.notify && users.has(user)) yield [user, verdict];
    if (!everyone.notify) return;
    for (const user of audience.joinedAmong(users)) if (user !== sender && !own.has(user)) yield [user, everyone];
  }

  /** Local users whose outcome may differ from everyone's: joined, or invited by this event. */
  #singled(tx: Tx, room: RoomNid, audience: Audience, event: RoomEvent): Set<UserId> {
    const named = new Set<string>();
    const mentions = memberOf(event.content['m.mentions'], 'user_ids');
    if (Array.isArray(mentions)) for (const user of mentions) if (typeof user === 'string') named.add(user);
    if (event.stateKey?.startsWith('@') === true) named.add(event.stateKey);
    for (const user of named) if (!this.#parts.isLocal(user)) named.delete(user);
    const singled = new Set([
      ...audience.joinedAmong(this.#parts.rules.usersWithRules),
      ...audience.joinedAmong(named),
      ...this.#namedInText(tx, room, audience, event),
    ]);
    if (isInvite(event) && this.#parts.isLocal(event.stateKey)) singled.add(event.stateKey as UserId);
    singled.delete(event.sender);
    return singled;
  }

  /** Members whose name or display name is in the text, perhaps as a part of a word, where that may be a mention. */
  #namedInText(tx: Tx, room: RoomNid, audience: Audience, { content }: RoomEvent): UserId[] {
    const text = asString(content['body'])?.toLowerCase();
    if (text === undefined || content['m.mentions'] !== undefined) return [];
    if (!this.#parts.rules.choice.textMentions) return [];
    const contains = (name: string): boolean => name !== '' && text.includes(name.toLowerCase());
    return audience
      .joined()
      .filter(
        (user) => contains(user.slice(1, user.indexOf(':'))) || contains(this.#parts.displayName(tx, room, user) ?? ''),
      );
  }

  /** An invite into a room that we are not in notifies by itself: it is in no timeline. */
  #membership(tx: Tx, { room, user, membership }: MembershipEntry, position: Position): void {
    const { rooms, queue, badges, rules, ignoring } = this.#parts;
    badges.userChanged(tx, user, room);
    if (membership !== 'invite') return queue.countsChanged(tx, user, position);
    if (!queue.users.has(user)) return;
    const row = rooms.localMembershipAt(tx, user, room, position);
    if (row?.outOfBand !== true || row.event === 0) return;
    const event = rooms.roomEvent(tx, row.event);
    if (ignoring.of(event.sender).has(user)) return;
    const pushed = pushedEvent(rooms, tx, room, event);
    const verdict = evaluatePushRules(rules.compiled(tx, user), pushed, { userId: user, displayName: undefined });
    if (verdict.notify) queue.notify(tx, user, { room, event: row.event, position, thread: '' }, verdict.tweaks);
  }

  #redacted(tx: Tx, entry: RedactedEntry, position: Position): void {
    const place = this.#parts.rooms.event(tx, entry.event)?.place;
    if (place === undefined || place.live === 0) return;
    if (tx.run(deleteAction, entry.room, place.slot).changes > 0) this.#recount(tx, entry, position);
  }

  /** Facts of a room are gone: everyone's counts there may be lower. */
  #recount(tx: Tx, { room, roomId }: RedactedEntry | WithdrawnEntry | PurgedEntry, position: Position): void {
    const { rooms, counts, badges, bus } = this.#parts;
    counts.invalidate(room);
    badges.roomChanged(tx, room, position);
    for (const user of rooms.joinedLocalUsers(tx, room)) bus.append(tx, { topic: 'user.counts', room, roomId, user });
  }
}

const isInvite = (event: RoomEvent): event is RoomEvent & { stateKey: string } =>
  event.type === 'm.room.member' && event.stateKey !== undefined && event.content['membership'] === 'invite';

function outcome(verdict: PushVerdict, { type }: RoomEvent): number {
  if (!verdict.notify) return 0;
  return notifyBit | (verdict.highlight ? highlightBit : 0) | (type === 'm.call.invite' ? callBit : 0);
}
