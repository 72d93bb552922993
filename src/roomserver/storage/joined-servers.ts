/** How many members of each server are joined to a room; with the first and the last one the server's interval changes. */
import type { ServerName } from '../../matrix/ids.ts';
import { sql, type Position, type Snapshot, type Tx } from '../../storage/index.ts';
import type { RoomNid, StateKeyNid } from '../types.ts';
import { HostStore } from './hosts.ts';
import type { Names } from './nids.ts';

const upsertServer = sql<[room: number, server: number, change: number]>(
  `INSERT INTO room_servers (room, server, joined) VALUES (?, ?, ?)
   ON CONFLICT DO UPDATE SET joined = joined + excluded.joined`,
);
const deleteServer = sql<[room: number, server: number]>(
  'DELETE FROM room_servers WHERE room = ? AND server = ? AND joined = 0',
);
const selectServers = sql<[room: number], { server: number; joined: number }>(
  'SELECT server, joined FROM room_servers WHERE room = ? ORDER BY server',
);
const selectServer = sql<[room: number, server: number], { joined: number }>(
  'SELECT joined FROM room_servers WHERE room = ? AND server = ?',
);

export class JoinedServerStore {
  readonly hosts: HostStore;
  readonly #keys: Names<StateKeyNid>;

  constructor(keys: Names<StateKeyNid>) {
    this.#keys = keys;
    this.hosts = new HostStore(keys);
  }

  /**
   * Counts `change` more joined members: of all changes at once, since a server whose one member leaves while another
   * joins was never away.
   */
  count(tx: Tx, room: RoomNid, server: StateKeyNid, change: number, position: Position): void {
    if (change === 0) return;
    const before = tx.get(selectServer, room, server)?.joined ?? 0;
    tx.run(upsertServer, room, server, change);
    if (before === 0) this.hosts.opened(tx, room, server, position);
    if (before + change > 0) return;
    tx.run(deleteServer, room, server);
    this.hosts.closed(tx, room, server, position);
  }

  /** Joined members by server. */
  counts(snapshot: Snapshot, room: RoomNid): Map<StateKeyNid, number> {
    return new Map(snapshot.all(selectServers, room).map(({ server, joined }) => [server as StateKeyNid, joined]));
  }

  /** The same by server name. */
  joined(snapshot: Snapshot, room: RoomNid): Map<ServerName, number> {
    const rows = snapshot.all(selectServers, room);
    return new Map(rows.map((row) => [this.#keys.text(snapshot, row.server as StateKeyNid) as ServerName, row.joined]));
  }

  isJoined(snapshot: Snapshot, room: RoomNid, server: string): boolean {
    return snapshot.get(selectServer, room, this.#keys.find(snapshot, server)) !== undefined;
  }
}
