/**
 * Turning the template of a resident server into a member event of our user (S-S API v1.19, `make_join` and its like):
 * "Before signing the returned template … the sending server MUST verify" what it is about to sign.
 */
import type { EventTemplate, FederationFault } from '../../fedclient/index.ts';
import { canonicalJson } from '../../matrix/canonical-json.ts';
import { MatrixError } from '../../matrix/errors.ts';
import { type RoomId, type ServerName, type UserId, isHashRoomId } from '../../matrix/ids.ts';
import { type JsonObject, asString, memberOf, numericValue } from '../../matrix/json.ts';
import { type Pdu, type RoomEvent, canonicalOptions } from '../../matrix/pdu.ts';
import { type RoomVersion, type RoomVersionRules, rulesOfVersion } from '../../matrix/room-versions.ts';
import { type Result, err, ok } from '../../util/result.ts';
import type { RoomWriter } from '../core.ts';
import type { Membership } from '../types.ts';
import { badReply } from './residents.ts';

export interface MemberEventWish {
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly membership: Membership;
  /** What our user says in it. */
  readonly content: JsonObject;
  readonly origin: ServerName;
  /** ms */
  readonly now: number;
}

export interface MemberEvent {
  readonly event: RoomEvent;
  readonly rules: RoomVersionRules;
  /** Canonical JSON of its PDU. */
  readonly text: string;
}

/**
 * "If not provided, the room version is assumed to be either "1" or "2"", which build the same events. Where plain ids
 * show that it is neither, any other one will do: the create event that comes with the answer says which.
 */
const guessVersion = ({ prev_events: prev }: JsonObject): RoomVersion =>
  Array.isArray(prev) && prev.length > 0 && prev.every((id) => typeof id === 'string') ? '10' : '1';

/** The signed event, or why the template is no good. */
export function fromTemplate(
  rooms: Pick<RoomWriter, 'complete'>,
  { roomVersion, event: template }: EventTemplate,
  wish: MemberEventWish,
): Result<MemberEvent, FederationFault> {
  const { roomId, user, membership } = wish;
  const rules = rulesOfVersion(roomVersion ?? guessVersion(template));
  if (rules === undefined) return err(badReply('the room version is one that was not asked for'));
  if (isHashRoomId(roomId) !== rules.roomIdIsCreateHash) return err(badReply('the room version does not fit the id'));
  if (template.type !== 'm.room.member') return err(badReply('the template is no member event'));
  if (template.room_id !== roomId) return err(badReply('the template is for another room'));
  if (template.sender !== user || template.state_key !== user) return err(badReply('the template is for another user'));
  if (memberOf(template.content, 'membership') !== membership)
    return err(badReply('the template has another membership'));
  const content: JsonObject = { ...wish.content, membership };
  const authoriser = asString(memberOf(template.content, 'join_authorised_via_users_server'));
  if (membership === 'join' && rules.restrictedJoin && authoriser !== undefined) {
    content.join_authorised_via_users_server = authoriser;
  }
  const depth = Number(numericValue(template.depth) ?? 0);
  const pdu: Pdu = {
    ...{ type: 'm.room.member', room_id: roomId, sender: user, state_key: user, content },
    origin: wish.origin,
    origin_server_ts: wish.now,
    depth: Math.min(depth, Number.MAX_SAFE_INTEGER),
    prev_events: template.prev_events ?? [],
    auth_events: template.auth_events ?? [],
  };
  try {
    const event = rooms.complete(pdu, rules);
    return ok({ event, rules, text: canonicalJson(event.pdu, canonicalOptions(rules)) });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return err(badReply(`the template makes no event: ${error.message}`));
  }
}
