/**
 * Inviting users of other servers (S-S API v1.19 §Inviting to a room): the event is made and authorised here, signed there,
 * and only then becomes part of the room.
 */
import type { FedClient, FederationFault } from '../../fedclient/index.ts';
import { canonicalJson } from '../../matrix/canonical-json.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { type EventId, type UserId, serverNameOf } from '../../matrix/ids.ts';
import { type JsonObject, isJsonObject, memberOf, parseLosslessJson } from '../../matrix/json.ts';
import { type Pdu, type RoomEvent, canonicalOptions, signedPduText } from '../../matrix/pdu.ts';
import { checkPdu } from '../../matrix/pdu-check.ts';
import type { Database, Snapshot, Tx } from '../../storage/index.ts';
import type { Result } from '../../util/result.ts';
import type { RoomCore } from '../core.ts';
import { refuseBlocked } from '../perform/blocked-rooms.ts';
import { memberContent } from '../perform/member-content.ts';
import type { Invite, Memberships } from '../perform/membership.ts';
import type { RoomUsers } from '../perform/users.ts';
import type { Room } from '../types.ts';
import { clientErrorOf } from './residents.ts';

export interface RemoteInviteParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly users: RoomUsers;
  readonly memberships: Memberships;
  readonly federation: Pick<FedClient, 'api' | 'permits'>;
}

/** An invite of a user of another server; the room by its id. */
export interface RemoteInvite extends Omit<Invite, 'room'> {
  readonly roomId: string;
  /** Finds the room. @throws M_FORBIDDEN, M_NOT_FOUND */
  readonly findRoom: (snapshot: Snapshot) => Room;
}

interface Drafted {
  readonly room: Room;
  readonly event: RoomEvent;
  readonly stripped: readonly string[];
}

export class RemoteInvites {
  readonly #parts: RemoteInviteParts;

  constructor(parts: RemoteInviteParts) {
    this.#parts = parts;
  }

  /**
   * Invites a user of another server; resolves with the id of the member event, the one in force if he is invited already.
   * @throws M_FORBIDDEN; what the other server says (M_INVITE_BLOCKED and others); M_UNKNOWN (502) when it does not answer
   */
  async invite(wish: RemoteInvite): Promise<EventId> {
    const { db, federation, rooms } = this.#parts;
    const drafted = await db.write((tx) => this.#draft(tx, wish));
    if (typeof drafted === 'string') return drafted;
    const server = serverNameOf(wish.target);
    if (!federation.permits(server)) throw matrixError.forbidden('This server does not speak with that of the user');
    const signed = this.#withSignature(drafted, await this.#send(drafted, wish.target));
    const verdict = (await rooms.input(signed.roomId, [signed], 'live')).get(signed.eventId);
    if (verdict?.kind === 'accepted') return signed.eventId;
    throw matrixError.forbidden('The room has changed: the invite is not allowed any more');
  }

  /** The event, or the id of the invite that there is. */
  #draft(tx: Tx, wish: RemoteInvite): Drafted | EventId {
    const { rooms, users, memberships } = this.#parts;
    const { sender, target, reason, isDirect } = wish;
    const room = wish.findRoom(tx);
    refuseBlocked(tx, room.roomId);
    const current = rooms.membership(tx, room.nid, target);
    if (current?.membership === 'invite' && wish.content === undefined) {
      memberships.demandRightToInvite(tx, room, sender);
      const event = rooms.event(tx, current.event);
      if (event !== undefined) return event.eventId;
    }
    const wished = isDirect === true ? { ...wish.content, is_direct: true } : wish.content;
    const content = memberContent(tx, users, { membership: 'invite', target, reason, content: wished });
    const event = rooms.build(tx, room, { type: 'm.room.member', stateKey: target, sender, content });
    const stripped = rooms.strippedEvents(tx, room.nid, sender).map((nid) => rooms.pduText(tx, nid));
    return { room, event, stripped };
  }

  async #send({ room, event, stripped }: Drafted, target: UserId): Promise<string> {
    const { api } = this.#parts.federation;
    const { rules, roomId } = room;
    const text = canonicalJson(event.pdu, canonicalOptions(rules));
    const invite = {
      roomId,
      eventId: event.eventId,
      roomVersion: rules.version,
      event: text,
      inviteRoomState: stripped,
    };
    const server = serverNameOf(target);
    const options = { ignoreBackoff: true };
    let answer: Result<string, FederationFault> = await api.inviteV2(server, invite, options);
    // "Senders which receive a 400 or 404 response to this endpoint should retry using the v1 API …, if the room version
    // is "1" or "2"." A refusal for a reason is none that a retry would change.
    if (!answer.ok && rules.eventIdFormat === 'field' && isUnknownEndpoint(answer.error)) {
      answer = await api.inviteV1(server, invite, options);
    }
    if (answer.ok) return answer.value;
    throw (
      clientErrorOf(answer.error) ?? new MatrixError(502, 'M_UNKNOWN', "The user's server does not take the invite")
    );
  }

  /** Our event with the other server's signature; nothing else of what came back counts. */
  #withSignature({ room, event }: Drafted, answer: string): RoomEvent {
    const { rules } = room;
    const checked = checkPdu(answer, rules);
    if (!checked.ok && checked.error.kind === 'bad-json') throw matrixError.badJson(checked.error.message);
    const isSame = checked.ok && signedPduText(checked.value.pdu, rules) === signedPduText(event.pdu, rules);
    if (!isSame || checked.value.eventId !== event.eventId) {
      throw new MatrixError(502, 'M_UNKNOWN', "The user's server answered with another event");
    }
    const server = serverNameOf(event.stateKey as UserId);
    const signature = memberOf(checked.value.pdu.signatures, server);
    if (!isJsonObject(signature)) return event;
    const signatures: JsonObject = { ...(event.pdu.signatures as JsonObject), [server]: signature };
    const pdu: Pdu = { ...event.pdu, signatures };
    // As it would be read from the wire.
    const read = checkPdu(parseLosslessJson(canonicalJson(pdu, canonicalOptions(rules))) as JsonObject, rules);
    return read.ok ? read.value : event;
  }
}

const isUnknownEndpoint = (fault: FederationFault): boolean =>
  fault.kind === 'http' &&
  (fault.status === 404 || fault.status === 400) &&
  (fault.errcode === 'M_UNRECOGNIZED' || fault.errcode === 'M_UNKNOWN' || fault.errcode === 'M_NOT_FOUND');
