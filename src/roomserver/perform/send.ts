/**
 * Sending events to a room (C-S API v1.19 §Sending events to a room, §Redactions): message and state events of local
 * users, with the checks that only the sender's own server makes.
 */
import { matrixError } from '../../matrix/errors.ts';
import type { EventId, UserId } from '../../matrix/ids.ts';
import { parseUserId } from '../../matrix/ids.ts';
import { type JsonObject, asString, isJsonObject } from '../../matrix/json.ts';
import type { Tx } from '../../storage/index.ts';
import type { RoomCore, SendOptions } from '../core.ts';
import { currentContent } from '../query/room-auth.ts';
import type { ProtoEvent, Room, StoredEvent } from '../types.ts';
import type { RoomAliases } from './alias.ts';
import type { Joining } from './join.ts';
import type { Memberships } from './membership.ts';
import { checkRedaction } from './redact.ts';
import { checkCanonicalAlias, checkRelation, checkTombstone } from './send-checks.ts';

/** Who sends, and how the device will know its event again. */
export interface Sender extends SendOptions {
  readonly userId: UserId;
  readonly isGuest: boolean;
  readonly isAdmin: boolean;
  /** May do nothing but redact his own events. */
  readonly isSuspended: boolean;
  /** ms; application services may set it. */
  readonly originServerTs?: number | undefined;
  /** The application service that asks for this user. */
  readonly appserviceId?: string | undefined;
}

export interface StateWish {
  readonly type: string;
  readonly stateKey: string;
  readonly content: JsonObject;
}

export class Sending {
  readonly #rooms: RoomCore;
  readonly #aliases: RoomAliases;
  readonly #memberships: Memberships;
  readonly #joining: Joining;

  constructor(rooms: RoomCore, aliases: RoomAliases, memberships: Memberships, joining: Joining) {
    this.#rooms = rooms;
    this.#aliases = aliases;
    this.#memberships = memberships;
    this.#joining = joining;
  }

  /**
   * Sends a message event; a redaction names its target in `content.redacts` in all room versions.
   * @throws M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE, M_DUPLICATE_ANNOTATION, M_USER_SUSPENDED
   */
  message(tx: Tx, room: Room, type: string, content: JsonObject, sender: Sender): StoredEvent {
    if (type === 'm.room.redaction') return this.#redactByContent(tx, room, content, sender);
    refuseSuspended(sender);
    if (type === 'm.room.create') throw matrixError.forbidden('A room has one create event');
    checkRelation(tx, this.#rooms, room, type, content, sender.userId);
    checkTombstone(room, type, content);
    return this.#send(tx, room, { type, content }, sender);
  }

  /** Redacts an event. @throws M_FORBIDDEN, M_NOT_FOUND, M_USER_SUSPENDED */
  redact(tx: Tx, room: Room, target: string, content: JsonObject, sender: Sender): StoredEvent {
    const redacts = checkRedaction(tx, this.#rooms, room, target, sender);
    return this.#send(tx, room, { type: 'm.room.redaction', content, redacts }, sender);
  }

  /**
   * Sets state; the event in force is returned when it says the same already. Membership goes by the rules of the
   * membership endpoints.
   * @throws M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE, M_BAD_ALIAS, M_INVALID_PARAM, M_INVITE_BLOCKED, M_USER_SUSPENDED
   */
  state(tx: Tx, room: Room, { type, stateKey, content }: StateWish, sender: Sender): StoredEvent {
    const leaving = type === 'm.room.member' && stateKey === sender.userId && content.membership === 'leave';
    if (!leaving) refuseSuspended(sender);
    if (type === 'm.room.create') throw matrixError.invalidParam('The create event of a room cannot be changed');
    // Such an event would redact what it names and stand in the state at once.
    if (type === 'm.room.redaction') throw matrixError.forbidden('A redaction is not state');
    if (type === 'm.room.member') {
      const target = parseUserId(stateKey);
      if (target === undefined) throw matrixError.invalidParam('The state key of a member event must be a user id');
      const { userId, isGuest } = sender;
      return this.#memberships.putState(tx, { room, sender: userId, target, content, isGuest });
    }
    if (type === 'm.room.canonical_alias') checkCanonicalAlias(tx, this.#rooms, this.#aliases, room, content);
    checkTombstone(room, type, content);
    if (type === 'm.room.power_levels') checkCreators(room, content);
    const closes = type === 'm.room.tombstone' && stateKey === '';
    const before = closes ? currentContent(tx, this.#rooms, room, type)?.replacement_room : undefined;
    const event = this.#send(tx, room, { type, stateKey, content }, sender);
    // "If the m.room.guest_access event is changed to stop this from being the case, the server MUST set those users'
    // m.room.member state to leave."
    if (type === 'm.room.guest_access' && stateKey === '' && content.guest_access !== 'can_join') {
      this.#memberships.removeGuests(tx, room);
    }
    if (closes && content.replacement_room !== before) this.#joining.followTombstone(tx, room, content);
    return event;
  }

  /** "In rooms with a version older than 11 they MUST move the redacts property inside the content to the top level." */
  #redactByContent(tx: Tx, room: Room, content: JsonObject, sender: Sender): StoredEvent {
    const { redacts, ...rest } = content;
    const target = asString(redacts);
    if (target === undefined) throw matrixError.badJson('A redaction needs the id of an event in redacts');
    return this.redact(tx, room, target, rest, sender);
  }

  #send(tx: Tx, room: Room, event: SendableEvent, sender: Sender): StoredEvent {
    const { userId, deviceId, transactionId, originServerTs } = sender;
    const proto: ProtoEvent = { ...event, sender: userId, originServerTs };
    return this.#rooms.send(tx, room, proto, { deviceId, transactionId });
  }
}

interface SendableEvent {
  readonly type: string;
  readonly stateKey?: string;
  readonly content: JsonObject;
  readonly redacts?: EventId;
}

/** Creators stand above all levels (room version 12 on): that is a mistake of the request, not a want of rights. */
function checkCreators({ rules, creators }: Room, { users }: JsonObject): void {
  if (!rules.privilegedCreators || !isJsonObject(users)) return;
  if (creators.some((creator) => Object.hasOwn(users, creator))) {
    throw matrixError.invalidParam('users must not name a creator of the room');
  }
}

function refuseSuspended(sender: Sender): void {
  if (sender.isSuspended) throw matrixError.userSuspended();
}
