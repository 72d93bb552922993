/** Whom to ask about a room: who sent what raised the question, then the servers in the room, another one first each time. */
import type { FedClient } from '../../fedclient/index.ts';
import type { ServerName } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import type { Room } from '../types.ts';

/** Servers that are asked before a question counts as unanswered. */
const mostAsked = 4;

export interface RoomServersParts {
  readonly db: Database;
  readonly rooms: Pick<RoomReader, 'joinedServers' | 'partialServers'>;
  readonly federation: Pick<FedClient, 'permits' | 'destinations'>;
  readonly serverName: ServerName;
}

export class RoomServers {
  readonly #parts: RoomServersParts;
  #turn = 0;

  constructor(parts: RoomServersParts) {
    this.#parts = parts;
  }

  /** At most four servers, `first` before the others; never ourselves, nor whom the operator denies. */
  inTurn(room: Room, first: readonly ServerName[] = []): ServerName[] {
    const { db, rooms, federation, serverName } = this.#parts;
    const may = (server: ServerName): boolean => server !== serverName && federation.permits(server);
    const joined = db
      .read((snapshot) => [
        ...new Set([...rooms.joinedServers(snapshot, room.nid), ...rooms.partialServers(snapshot, room.nid)]),
      ])
      .filter((server) => may(server) && !first.includes(server));
    this.#turn += 1;
    const start = joined.length === 0 ? 0 : this.#turn % joined.length;
    const turned = [...joined.slice(start), ...joined.slice(0, start)];
    const answering = turned.filter((server) => federation.destinations.retryAt(server) === 0);
    const silent = turned.filter((server) => federation.destinations.retryAt(server) !== 0);
    return [...new Set([...first.filter(may), ...answering, ...silent])].slice(0, mostAsked);
  }
}
