/**
 * Membership as users ask for it, whichever servers the room is on: what is decided here is done here, for everything else
 * servers in the room are asked (S-S API v1.19 §Joining Rooms … §Third-party invites). One handshake of a room at a time:
 * who comes second finds the room joined. Nothing here runs inside a transaction.
 */
import type { FedClient } from '../../fedclient/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import {
  type RoomId,
  type ServerName,
  type UserId,
  parseRoomAlias,
  parseRoomId,
  serverNameOf,
} from '../../matrix/ids.ts';
import { type JsonObject, asString, memberOf } from '../../matrix/json.ts';
import type { Database, Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { KeyedQueue } from '../../util/keyed-queue.ts';
import type { Logger } from '../../util/log.ts';
import type { RoomCore } from '../core.ts';
import type { Perform } from '../perform/index.ts';
import type { ThirdPartySigned } from '../perform/join.ts';
import { refuseBlocked } from '../perform/blocked-rooms.ts';
import { memberContent } from '../perform/member-content.ts';
import type { PartialRooms } from '../partial/partial-rooms.ts';
import type { RoomUsers } from '../perform/users.ts';
import { findRoom } from '../query/room-access.ts';
import { currentLevels } from '../query/room-auth.ts';
import type { Room } from '../types.ts';
import type { RemoteAliases } from './aliases.ts';
import type { Handshakes } from './handshakes.ts';
import { RemoteInvites } from './invite-user.ts';
import { RemoteJoining, isErrcode } from './join-room.ts';
import { RemoteKnocking } from './knock-room.ts';
import { RemoteLeaving } from './leave-room.ts';
import { OutOfBand } from './out-of-band.ts';
import type { PduChecker } from './pdus.ts';
import { clientErrorOf, residentsOf } from './residents.ts';

export interface RemoteMembershipParts {
  readonly db: Database;
  readonly rooms: RoomCore;
  readonly perform: Perform;
  readonly users: RoomUsers;
  readonly federation: Pick<FedClient, 'api' | 'permits'>;
  readonly remote: {
    readonly pdus: PduChecker;
    readonly aliases: RemoteAliases;
    readonly handshakes: Handshakes;
    readonly partial: Pick<PartialRooms, 'begin'>;
  };
  readonly partialJoins: boolean;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Found {
  readonly roomId: RoomId;
  readonly servers: readonly string[];
}

export interface Entry {
  /** A room id or alias. */
  readonly room: string;
  /** Servers that may be in it. */
  readonly via: readonly string[];
  readonly user: UserId;
  readonly reason?: string | undefined;
  /** Further members of the content, as a client wrote them. */
  readonly content?: JsonObject | undefined;
}

export interface JoinEntry extends Entry {
  readonly isGuest: boolean;
  readonly thirdPartySigned?: ThirdPartySigned | undefined;
}

export interface InviteWish {
  readonly roomId: string;
  readonly sender: UserId;
  readonly target: UserId;
  readonly reason?: string | undefined;
  readonly isDirect?: boolean | undefined;
  readonly content?: JsonObject | undefined;
}

/** Others must be asked for a join. */
interface Elsewhere {
  readonly others: (servers: readonly string[]) => readonly string[];
  /** We are in the room, but have nobody who may let others in. */
  readonly isVouching: boolean;
}

/** Before another server is asked to vouch for a user of ours, in ms. */
const vouchingPauses = [150, 600];

export class RemoteMemberships {
  readonly outOfBand: OutOfBand;
  readonly #parts: RemoteMembershipParts;
  readonly #joining: RemoteJoining;
  readonly #leaving: RemoteLeaving;
  readonly #knocking: RemoteKnocking;
  readonly #invites: RemoteInvites;
  readonly #rooms = new KeyedQueue<RoomId>();

  constructor(parts: RemoteMembershipParts) {
    this.#parts = parts;
    const { perform } = parts;
    const { pdus } = parts.remote;
    this.outOfBand = new OutOfBand({ ...parts, pdus });
    const all = { ...parts, pdus, outOfBand: this.outOfBand };
    this.#joining = new RemoteJoining(all);
    this.#leaving = new RemoteLeaving(all);
    this.#knocking = new RemoteKnocking(all);
    this.#invites = new RemoteInvites({ ...parts, memberships: perform.memberships });
  }

  /**
   * Joins a room; resolves with its id.
   * @throws M_FORBIDDEN, M_NOT_FOUND, M_GUEST_ACCESS_FORBIDDEN, M_INCOMPATIBLE_ROOM_VERSION, M_UNABLE_TO_AUTHORISE_JOIN,
   *   M_UNABLE_TO_GRANT_JOIN, M_UNKNOWN (502)
   */
  async join(entry: JoinEntry): Promise<RoomId> {
    const { roomId, servers } = await this.#find(entry);
    await this.#rooms.run(roomId, async () => {
      for (const pauseMs of vouchingPauses) {
        const elsewhere = await this.#joinHere(roomId, entry);
        if (elsewhere === undefined) return;
        if (!elsewhere.isVouching) return this.#joinThere(roomId, entry, elsewhere.others(servers));
        // Word of who may vouch may be on its way here, and what a voucher must know on its way there.
        await this.#parts.clock.sleep(pauseMs);
        if ((await this.#joinHere(roomId, entry)) === undefined) return;
        try {
          return await this.#joinThere(roomId, entry, elsewhere.others(servers));
        } catch (error) {
          if (!isErrcode(error, 'M_FORBIDDEN') || pauseMs === vouchingPauses.at(-1)) throw error;
        }
      }
    });
    return roomId;
  }

  /** Asks to be let into a room; resolves with its id. @throws M_FORBIDDEN, M_NOT_FOUND, M_INCOMPATIBLE_ROOM_VERSION, M_UNKNOWN (502) */
  async knock(entry: Entry): Promise<RoomId> {
    const { db, rooms, perform, users } = this.#parts;
    const { user, reason, content } = entry;
    const { roomId, servers } = await this.#find(entry);
    await this.#rooms.run(roomId, async () => {
      const isOurs = db.read((snapshot) => this.#isOurs(snapshot, roomId, user));
      if (isOurs) {
        return db.write((tx) =>
          perform.memberships.knock(tx, { room: findRoom(tx, rooms, roomId), sender: user, reason, content }),
        );
      }
      const wish = db.read((snapshot) => {
        refuseBlocked(snapshot, roomId);
        return {
          content: memberContent(snapshot, users, { membership: 'knock', target: user, reason, content }),
          servers: residentsOf(snapshot, rooms, { roomId, user, via: servers }),
        };
      });
      return this.#knocking.knock({ roomId, user, ...wish });
    });
    return roomId;
  }

  /** Leaves a room, rejects an invite or withdraws a knock. @throws M_NOT_FOUND, M_FORBIDDEN, M_CANNOT_LEAVE_SERVER_NOTICE_ROOM */
  async leave({ room: target, user, reason, content }: Omit<Entry, 'via'>): Promise<void> {
    const { db, rooms, perform } = this.#parts;
    const { roomId } = await this.#find({ room: target, via: [] });
    await this.#rooms.run(roomId, async () => {
      const outside = db.read((snapshot) => {
        const row = this.outOfBand.membershipOf(snapshot, roomId, user);
        const asks = row?.membership === 'invite' || row?.membership === 'knock';
        if (row?.outOfBand === true && row.membership === 'leave') return 'left';
        return asks && !this.#isOurs(snapshot, roomId, user) ? rooms.roomByNid(snapshot, row.room) : undefined;
      });
      if (outside === 'left') return;
      if (outside !== undefined) return this.#leaving.leave({ room: outside, user, reason, content });
      await db.write((tx) => {
        const room = rooms.room(tx, roomId);
        if (room === undefined) throw matrixError.notFound('There is no such room');
        perform.memberships.leave(tx, { room, sender: user, reason, content });
      });
    });
  }

  /**
   * Invites a user of any server; resolves with the id of the member event, undefined where one was in force.
   * @throws M_FORBIDDEN, M_INVITE_BLOCKED, M_UNKNOWN (502)
   */
  async invite(wish: InviteWish): Promise<string | undefined> {
    const { db, rooms, perform, users } = this.#parts;
    const { roomId, target } = wish;
    if (users.isLocal(target)) {
      return db.write((tx) => {
        const room = findRoom(tx, rooms, roomId);
        perform.memberships.invite(tx, { ...wish, room });
        return rooms.currentEvent(tx, room.nid, 'm.room.member', target)?.eventId;
      });
    }
    return this.#invites.invite({
      ...wish,
      findRoom: (snapshot) => {
        const room = findRoom(snapshot, rooms, roomId);
        if (!room.federate) throw matrixError.forbidden('The room is not open to users of other servers');
        return room;
      },
    });
  }

  /** Invites those of some users who belong to other servers; who cannot be invited is left out. */
  async inviteStrangers(users: readonly UserId[], wish: Omit<InviteWish, 'target'>): Promise<void> {
    const strangers = [...new Set(users)].filter((user) => !this.#parts.users.isLocal(user) && user !== wish.sender);
    for (const target of strangers) {
      try {
        await this.invite({ ...wish, target });
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error;
        this.#parts.log.info({ room: wish.roomId, err: error }, 'a user of another server was not invited');
      }
    }
  }

  /**
   * Has the server of a third-party invite's sender turn it into an invite of our user, who gets it like any other.
   * @throws what that server says; M_UNKNOWN (502)
   */
  async exchange(roomId: string, user: UserId, { sender, signed }: ThirdPartySigned): Promise<void> {
    const { federation } = this.#parts;
    const display_name = asString(memberOf(signed, 'display_name')) ?? '';
    const event: JsonObject = {
      ...{ type: 'm.room.member', room_id: roomId, sender, state_key: user },
      content: { membership: 'invite', third_party_invite: { display_name, signed } },
    };
    const answer = await federation.api.exchangeThirdPartyInvite(serverNameOf(sender), roomId, event);
    if (answer.ok) return;
    throw clientErrorOf(answer.error) ?? new MatrixError(502, 'M_UNKNOWN', 'The server of the inviter does not answer');
  }

  /** @throws M_INVALID_PARAM when it is neither id nor alias; M_NOT_FOUND */
  async #find({ room, via }: Pick<Entry, 'room' | 'via'>): Promise<Found> {
    const { db, rooms, perform, remote, serverName } = this.#parts;
    const others = via.filter((server) => server !== serverName);
    if (!room.startsWith('#')) {
      const roomId = parseRoomId(room);
      if (roomId === undefined) throw matrixError.invalidParam('Neither a room id nor a room alias');
      return { roomId, servers: others };
    }
    const alias = parseRoomAlias(room);
    if (alias === undefined) throw matrixError.invalidParam('Neither a room id nor a room alias');
    if (serverNameOf(alias) !== serverName) {
      const { roomId, servers } = await remote.aliases.lookUp(alias);
      return { roomId, servers: [...others, ...servers] };
    }
    return db.read((snapshot) => {
      const nid = perform.aliases.roomOf(snapshot, alias);
      if (nid === undefined) throw matrixError.notFound('There is no such room alias');
      return { roomId: rooms.roomByNid(snapshot, nid).roomId, servers: others };
    });
  }

  /**
   * Whether what we know of the room is all that there is to know: we are in it, or it was begun here and nobody is left,
   * nor has anybody let us know of it since.
   */
  #isOurs(snapshot: Snapshot, roomId: RoomId, user: UserId): boolean {
    const { rooms, serverName } = this.#parts;
    const room = rooms.room(snapshot, roomId);
    if (room === undefined) return false;
    if (rooms.isServerJoined(snapshot, room.nid)) return true;
    const [founder] = room.creators;
    if (founder === undefined || serverNameOf(founder) !== serverName) return false;
    if (rooms.stateSize(snapshot, room.nid) === 0 || rooms.joinedServers(snapshot, room.nid).length > 0) return false;
    return this.outOfBand.membershipOf(snapshot, roomId, user)?.outOfBand !== true;
  }

  /** Joins on what we know; otherwise tells whom else to ask. */
  async #joinHere(roomId: RoomId, join: JoinEntry): Promise<Elsewhere | undefined> {
    const { db, rooms, perform } = this.#parts;
    const { user } = join;
    const needsExchange =
      join.thirdPartySigned !== undefined && !this.#parts.users.isLocal(join.thirdPartySigned.sender);
    const isOurs = db.read((snapshot) => this.#isOurs(snapshot, roomId, user));
    const others = (servers: readonly string[]): readonly string[] =>
      db.read((snapshot) => residentsOf(snapshot, rooms, { roomId, user, via: servers }));
    // In a partial room a server that knows its members judges who may join.
    const isJudgedThere = db.read((snapshot) => this.#needsJudge(snapshot, roomId, user));
    if (!isOurs || needsExchange || isJudgedThere) return { others, isVouching: false };
    try {
      await db.write((tx) => perform.joining.join(tx, { ...join, room: findRoom(tx, rooms, roomId) }));
      return undefined;
    } catch (error) {
      // Nobody here may let the user in; somebody elsewhere may.
      if (!isErrcode(error, 'M_UNABLE_TO_GRANT_JOIN')) throw error;
      const vouching = db.read((snapshot) => this.#whoMayInvite(snapshot, findRoom(snapshot, rooms, roomId)));
      if (vouching.length === 0) throw error;
      return { others: () => vouching, isVouching: true };
    }
  }

  #needsJudge(snapshot: Snapshot, roomId: RoomId, user: UserId): boolean {
    const { rooms } = this.#parts;
    const room = rooms.room(snapshot, roomId);
    if (room === undefined || !rooms.isPartial(snapshot, room.nid)) return false;
    return rooms.membership(snapshot, room.nid, user)?.membership !== 'join';
  }

  /** Servers in the room, first those of users with levels of their own. */
  #whoMayInvite(snapshot: Snapshot, room: Room): string[] {
    const { rooms, serverName } = this.#parts;
    const { privileged, table } = currentLevels(snapshot, rooms, room);
    const joined = new Set<string>(rooms.joinedServers(snapshot, room.nid));
    const named = [...privileged, ...table.users.keys()].map((user) => serverNameOf(user as UserId));
    return [...new Set([...named.filter((server) => joined.has(server)), ...joined])].filter(
      (one) => one !== serverName,
    );
  }

  async #joinThere(roomId: RoomId, join: JoinEntry, servers: readonly string[]): Promise<void> {
    const { db, rooms, perform, users, remote, log } = this.#parts;
    const { user, isGuest, reason, thirdPartySigned } = join;
    const content = db.read((snapshot) => {
      refuseBlocked(snapshot, roomId);
      // Whether the room admits guests is not known before one is in.
      if (isGuest) throw matrixError.guestAccessForbidden('Guests cannot join rooms on other servers');
      return memberContent(snapshot, users, { membership: 'join', target: user, reason, content: join.content });
    });
    if (thirdPartySigned !== undefined) await this.exchange(roomId, user, thirdPartySigned);
    const end = this.#parts.remote.handshakes.begin(roomId);
    try {
      const { server, admission } = await this.#joining.join({ roomId, user, content, servers });
      log.info({ room: roomId, server, state: admission.state.length }, 'joined a room by another server');
    } finally {
      end();
    }
    const joined = await db.write((tx) => {
      const room = rooms.room(tx, roomId);
      if (room !== undefined) perform.joining.followUpgrade(tx, room, user);
      return room;
    });
    if (joined !== undefined) remote.partial.begin(joined.nid);
  }
}

export const createRemoteMemberships = (parts: RemoteMembershipParts): RemoteMemberships =>
  new RemoteMemberships(parts);
