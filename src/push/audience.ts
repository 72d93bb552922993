/** The joined local users of a room at one event, looked up in the cheaper of two ways. */
import type { RoomNid } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Tx } from '../storage/index.ts';

/** Up to this many users are looked up one by one. */
const fewUsers = 8;

export class Audience {
  readonly #tx: Tx;
  readonly #rooms: RoomReader;
  readonly #room: RoomNid;
  #joined: readonly UserId[] | undefined;

  constructor(tx: Tx, rooms: RoomReader, room: RoomNid) {
    this.#tx = tx;
    this.#rooms = rooms;
    this.#room = room;
  }

  joined(): readonly UserId[] {
    return (this.#joined ??= this.#rooms.joinedLocalUsers(this.#tx, this.#room));
  }

  joinedAmong(users: ReadonlySet<string>): UserId[] {
    if (users.size <= fewUsers) {
      const isJoined = (user: string): user is UserId =>
        this.#rooms.membership(this.#tx, this.#room, user as UserId)?.membership === 'join';
      return [...users].filter(isJoined);
    }
    return this.joined().filter((user) => users.has(user));
  }
}
