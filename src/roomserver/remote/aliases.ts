/** Aliases of other servers (S-S API v1.19 §Querying for information, `GET /query/directory`): asked of the server in the alias. */
import { faultError, type FedClient } from '../../fedclient/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { parseRoomId, parseServerName, serverNameOf } from '../../matrix/ids.ts';
import type { RoomAlias, RoomId, ServerName } from '../../matrix/ids.ts';

export interface RemoteAlias {
  readonly roomId: RoomId;
  /** Servers that may know the room, the alias's own among them; each once. */
  readonly servers: readonly ServerName[];
}

/** More are of no use to whoever joins. */
const mostServers = 100;

export class RemoteAliases {
  readonly #api: FedClient['api'];

  constructor({ api }: Pick<FedClient, 'api'>) {
    this.#api = api;
  }

  /**
   * The room of an alias of another server. @throws MatrixError M_NOT_FOUND; M_CONNECTION_FAILED and the like when that
   * server cannot be asked
   */
  async lookUp(alias: RoomAlias, signal?: AbortSignal): Promise<RemoteAlias> {
    const server = serverNameOf(alias);
    const answer = await this.#api.directory(server, alias, { signal });
    if (!answer.ok) {
      const error = faultError(answer.error);
      throw error.status === 404 ? notFound(alias) : error;
    }
    const roomId = parseRoomId(answer.value.room_id);
    if (roomId === undefined) throw new MatrixError(502, 'M_UNKNOWN', 'The other server names no valid room');
    const servers = answer.value.servers.flatMap((name) => parseServerName(name) ?? []);
    return { roomId, servers: [...new Set([...servers.slice(0, mostServers), server])] };
  }
}

const notFound = (alias: string): MatrixError => matrixError.notFound(`Room alias ${alias} not found`);
