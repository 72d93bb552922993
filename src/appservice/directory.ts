/** The published room lists of bridged networks (A-S API v1.19 §Published room directories). */
import type { RoomNid } from '../bus/index.ts';
import type { Snapshot, Tx } from '../storage/index.ts';
import { instanceId } from './networks.ts';
import { deleteListed, insertListed, selectListed } from './storage.ts';

export class NetworkDirectory {
  /** Shows a room in a network's list or hides it. */
  set(tx: Tx, service: string, network: string, room: RoomNid, listed: boolean): void {
    tx.run(listed ? insertListed : deleteListed, service, network, room);
    tx.touch(`room:${room}`);
  }

  /** Rooms in the list of a network (`third_party_instance_id`), or in that of any. */
  rooms(snapshot: Snapshot, instance: string | undefined): RoomNid[] {
    const rows = snapshot
      .all(selectListed)
      .filter((row) => instance === undefined || instanceId(row.appservice, row.network) === instance);
    return [...new Set(rows.map(({ room }) => room as RoomNid))];
  }
}
