/** A client's picture of its rooms, kept from /sync responses alone, as the specification tells clients to keep it. */
import type { SyncBody, SyncEvent, SyncRoom } from './sync.ts';

export interface ClientRoom {
  /** `type|state_key` to event id. */
  readonly state: Map<string, string>;
  readonly timeline: string[];
  /** Keys whose last timeline event may have lost a resolution, which only `state_after` can tell. */
  readonly doubtful: Set<string>;
}

export class SyncClient {
  readonly joined = new Map<string, ClientRoom>();
  readonly invited = new Set<string>();
  readonly left = new Set<string>();
  since: string | undefined;

  apply(body: SyncBody): void {
    this.since = body.next_batch;
    for (const roomId of Object.keys(body.rooms?.invite ?? {})) {
      this.#forget(roomId);
      this.invited.add(roomId);
    }
    for (const [roomId, room] of Object.entries(body.rooms?.join ?? {})) this.#join(roomId, room);
    for (const roomId of Object.keys(body.rooms?.leave ?? {})) {
      this.#forget(roomId);
      this.left.add(roomId);
    }
  }

  #forget(roomId: string): void {
    this.joined.delete(roomId);
    this.invited.delete(roomId);
    this.left.delete(roomId);
  }

  #join(roomId: string, room: SyncRoom): void {
    const known = this.joined.get(roomId);
    this.#forget(roomId);
    const own: ClientRoom = known ?? { state: new Map(), timeline: [], doubtful: new Set() };
    this.joined.set(roomId, own);
    const set = ({ type, state_key: key, event_id: id }: SyncEvent, doubtful: boolean): void => {
      if (key === undefined) return;
      own.state.set(`${type}|${key}`, id);
      if (doubtful) own.doubtful.add(`${type}|${key}`);
      else own.doubtful.delete(`${type}|${key}`);
    };
    const after = room.state_after ?? room['org.matrix.msc4222.state_after'];
    for (const event of (after ?? room.state)?.events ?? []) set(event, false);
    if (after === undefined) for (const event of room.timeline.events) set(event, true);
    if (room.timeline.limited) own.timeline.length = 0;
    own.timeline.push(...room.timeline.events.map(({ event_id: id }) => id));
  }
}
