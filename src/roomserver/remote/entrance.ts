/**
 * Into a room from wherever it is: what is decided here is done here, for everything else servers in the room are asked
 * (S-S API v1.19 §Joining Rooms). Also how a room is found that a user names, and whether it is ours to decide about.
 */
import type { FedClient } from '../../fedclient/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import {
  type RoomId,
  type ServerName,
  type UserId,
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  serverNameOf,
} from '../../matrix/ids.ts';
import { type JsonObject, asString, memberOf } from '../../matrix/json.ts';
import { asPosition, type Database, type Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import type { RoomServer } from '../room-core.ts';
import type { PartialRooms } from '../partial/partial-rooms.ts';
import { refuseBlocked } from '../perform/blocked-rooms.ts';
import type { Perform } from '../perform/index.ts';
import type { ThirdPartySigned } from '../perform/join.ts';
import { memberContent } from '../perform/member-content.ts';
import type { RoomUsers } from '../perform/users.ts';
import { findRoom } from '../query/room-access.ts';
import { currentLevels } from '../query/room-auth.ts';
import type { Room } from '../types.ts';
import type { RemoteAliases } from './aliases.ts';
import type { RemoteDirectory } from './directory.ts';
import type { Handshakes } from './handshakes.ts';
import { RemoteJoining, isErrcode } from './join-room.ts';
import type { PduChecker } from './pdus.ts';
import { clientErrorOf, residentsOf } from './residents.ts';

export interface RemoteMembershipParts {
  readonly db: Database;
  readonly rooms: RoomServer;
  readonly perform: Perform;
  readonly users: RoomUsers;
  readonly federation: Pick<FedClient, 'api' | 'permits'>;
  readonly remote: {
    readonly pdus: PduChecker;
    readonly aliases: RemoteAliases;
    readonly handshakes: Handshakes;
    readonly directory: Pick<RemoteDirectory, 'space'>;
    readonly partial: Pick<PartialRooms, 'begin'>;
  };
  readonly partialJoins: boolean;
  readonly serverName: ServerName;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface FoundRoom {
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

/** Others must be asked for a join. */
interface Elsewhere {
  readonly others: (servers: readonly string[]) => readonly string[];
  /** We are in the room, but have nobody who may let others in. */
  readonly isVouching: boolean;
}

/** Before another server is asked to vouch for a user of ours, in ms. */
const vouchingPauses = [150, 600];

const newest = asPosition(Number.MAX_SAFE_INTEGER);

export class Entrance {
  readonly #parts: RemoteMembershipParts;
  readonly #joining: RemoteJoining;

  constructor(parts: RemoteMembershipParts & { readonly pdus: PduChecker }) {
    this.#parts = parts;
    this.#joining = new RemoteJoining(parts);
  }

  /** Joins a room; one at a time. `servers`: whom else to ask. @throws as `RemoteMemberships.join` */
  async enter(roomId: RoomId, entry: JoinEntry, servers: readonly string[]): Promise<void> {
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
  }

  /** Joins on what we know; otherwise tells whom else to ask. */
  async #joinHere(roomId: RoomId, join: JoinEntry): Promise<Elsewhere | undefined> {
    const { db, rooms, perform } = this.#parts;
    const { user } = join;
    const needsExchange =
      join.thirdPartySigned !== undefined && !this.#parts.users.isLocal(join.thirdPartySigned.sender);
    const decidesHere = db.read((snapshot) => isOurs(this.#parts, snapshot, roomId, user));
    const others = (servers: readonly string[]): readonly string[] =>
      db.read((snapshot) => residentsOf(snapshot, rooms, { roomId, user, via: servers }));
    // In a partial room a server that knows its members judges who may join.
    const isJudgedThere = db.read((snapshot) => this.#needsJudge(snapshot, roomId, user));
    if (!decidesHere || needsExchange || isJudgedThere) return { others, isVouching: false };
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
    if (isGuest) {
      // Residents do not judge by it, and the state is not known before one is in.
      const asked = servers.flatMap((server) => parseServerName(server) ?? []);
      const told = await remote.directory.space(roomId, asked, false);
      if (told?.summary.guest_can_join !== true) {
        throw matrixError.guestAccessForbidden('The room does not admit guests, as far as is known here');
      }
    }
    const content = db.read((snapshot) => {
      refuseBlocked(snapshot, roomId);
      return memberContent(snapshot, users, { membership: 'join', target: user, reason, content: join.content });
    });
    if (thirdPartySigned !== undefined) await exchangeInvite(this.#parts.federation, roomId, user, thirdPartySigned);
    const inviter = thirdPartySigned === undefined ? [] : [serverNameOf(thirdPartySigned.sender)];
    const end = this.#parts.remote.handshakes.begin(roomId);
    try {
      const { server, stateSize } = await this.#joining.join({
        roomId,
        user,
        content,
        servers: [...inviter, ...servers],
      });
      log.info({ room: roomId, server, state: stateSize }, 'joined a room by another server');
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

/** @throws M_INVALID_PARAM when it is neither id nor alias; M_NOT_FOUND */
export async function roomNamed(
  { db, rooms, perform, remote, serverName }: RemoteMembershipParts,
  { room, via }: Pick<Entry, 'room' | 'via'>,
): Promise<FoundRoom> {
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
export function isOurs(
  { rooms, serverName }: RemoteMembershipParts,
  snapshot: Snapshot,
  roomId: RoomId,
  user: UserId,
): boolean {
  const room = rooms.room(snapshot, roomId);
  if (room === undefined) return false;
  if (rooms.isServerJoined(snapshot, room.nid)) return true;
  const [founder] = room.creators;
  if (founder === undefined || serverNameOf(founder) !== serverName) return false;
  if (rooms.stateSize(snapshot, room.nid) === 0 || rooms.joinedServers(snapshot, room.nid).length > 0) return false;
  return rooms.localMembershipAt(snapshot, user, room.nid, newest)?.outOfBand !== true;
}

/**
 * Has the server of a third-party invite's sender turn it into an invite of our user, who gets it like any other.
 * @throws what that server says; M_UNKNOWN (502)
 */
export async function exchangeInvite(
  federation: Pick<FedClient, 'api'>,
  roomId: string,
  user: UserId,
  { sender, signed }: ThirdPartySigned,
): Promise<void> {
  const display_name = asString(memberOf(signed, 'display_name')) ?? '';
  const event: JsonObject = {
    ...{ type: 'm.room.member', room_id: roomId, sender, state_key: user },
    content: { membership: 'invite', third_party_invite: { display_name, signed } },
  };
  const answer = await federation.api.exchangeThirdPartyInvite(serverNameOf(sender), roomId, event);
  if (answer.ok) return;
  throw clientErrorOf(answer.error) ?? new MatrixError(502, 'M_UNKNOWN', 'The server of the inviter does not answer');
}
