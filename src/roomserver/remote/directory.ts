/**
 * What other servers tell of rooms that we are not in: their published lists, spaces with the rooms right below them
 * (S-S API v1.19 §Published Room Directory, §Spaces). "Responses to this endpoint should be cached for a period of time."
 */
import { faultError, type FedClient, type PublicRoomsWish } from '../../fedclient/index.ts';
import type { RoomId, ServerName } from '../../matrix/ids.ts';
import { compareChildren, type SpaceChild } from '../query/space-children.ts';
import { LruCache } from '../../util/lru.ts';
import { toldChildren, toldSummary, type ToldSummary } from './summary.ts';

/** A page of another server's list. */
export interface RemotePublicRooms {
  readonly chunk: readonly ToldSummary[];
  readonly next_batch?: string;
  readonly prev_batch?: string;
  readonly total_room_count_estimate?: number;
}

/** A room as another server tells it. */
export interface RemoteSpace {
  readonly summary: ToldSummary;
  readonly children: readonly SpaceChild[];
  /** Those children of which that server knows and may tell. */
  readonly told: ReadonlyMap<string, ToldSummary>;
  /** Children that nobody of this server could come into. */
  readonly inaccessible: ReadonlySet<string>;
}

/** Servers that are asked about one room before it counts as unknown. */
const mostAsked = 4;
const mostChildren = 1000;
const mostListed = 1000;
const keptMs = 60_000;

export class RemoteDirectory {
  readonly #api: FedClient['api'];
  readonly #spaces = new LruCache<string, RemoteSpace>({ max: 500, ttl: keptMs });
  readonly #underWay = new Map<string, Promise<RemoteSpace | undefined>>();

  constructor({ api }: Pick<FedClient, 'api'>) {
    this.#api = api;
  }

  /** A page of a server's published rooms. @throws MatrixError when it cannot be had */
  async publicRooms(server: ServerName, wish: PublicRoomsWish, signal?: AbortSignal): Promise<RemotePublicRooms> {
    const answer = await this.#api.publicRooms(server, wish, { signal });
    if (!answer.ok) throw faultError(answer.error);
    const { chunk, next_batch: next, prev_batch: prev, total_room_count_estimate: total } = answer.value;
    return {
      chunk: chunk.slice(0, mostListed).flatMap((room) => toldSummary(room) ?? []),
      ...(next === undefined ? {} : { next_batch: next }),
      ...(prev === undefined ? {} : { prev_batch: prev }),
      ...(total === undefined || !Number.isSafeInteger(total) ? {} : { total_room_count_estimate: total }),
    };
  }

  /** What is known of a room, and of those below it if it is a space; undefined: none of the servers tells. */
  space(
    roomId: RoomId,
    servers: readonly ServerName[],
    suggestedOnly: boolean,
    signal?: AbortSignal,
  ): Promise<RemoteSpace | undefined> {
    const key = `${roomId} ${suggestedOnly}`;
    const kept = this.#spaces.get(key);
    if (kept !== undefined) return Promise.resolve(kept);
    let fetched = this.#underWay.get(key);
    if (fetched === undefined) {
      fetched = this.#fetch(key, roomId, servers, suggestedOnly, signal).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, fetched);
    }
    return fetched;
  }

  async #fetch(
    key: string,
    roomId: RoomId,
    servers: readonly ServerName[],
    suggestedOnly: boolean,
    signal: AbortSignal | undefined,
  ): Promise<RemoteSpace | undefined> {
    for (const server of new Set(servers.slice(0, mostAsked))) {
      const answer = await this.#api.hierarchy(server, roomId, suggestedOnly, { signal });
      if (signal?.aborted === true) return undefined;
      const summary = answer.ok ? toldSummary(answer.value.room) : undefined;
      if (!answer.ok || summary === undefined || summary.room_id !== roomId) continue;
      const { room, children, inaccessible_children: inaccessible } = answer.value;
      const told = children.slice(0, mostChildren).flatMap((child) => toldSummary(child) ?? []);
      const space = {
        summary,
        children: toldChildren(room.children_state.slice(0, mostChildren)).sort(compareChildren),
        told: new Map(told.map((child) => [child.room_id, child])),
        inaccessible: new Set(inaccessible),
      };
      this.#spaces.set(key, space);
      return space;
    }
    return undefined;
  }
}
