/** Questions about aliases, directories, spaces and the server itself (S-S API v1.19 §Public Room Directory, §Spaces, §Querying for information). */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { FederationClient } from '../client.ts';
import type { FederationRequest } from '../exchange.ts';
import { replyOf } from '../reply.ts';
import { call, path, queryTimeoutMs as timeoutMs, type Called, type CallOptions } from './call.ts';

const version = v.object({
  server: v.optional(v.object({ name: v.optional(v.string()), version: v.optional(v.string()) })),
});
const directory = v.object({ room_id: v.string(), servers: v.optional(v.array(v.string()), []) });
const room = v.looseObject({ room_id: v.string() });
const publicRooms = v.object({
  chunk: v.array(room),
  next_batch: v.optional(v.string()),
  prev_batch: v.optional(v.string()),
  total_room_count_estimate: v.optional(v.number()),
});
const hierarchy = v.object({
  room: v.looseObject({ room_id: v.string(), children_state: v.optional(v.array(jsonObject), []) }),
  children: v.optional(v.array(room), []),
  inaccessible_children: v.optional(v.array(v.string()), []),
});

export type VersionAnswer = v.InferOutput<typeof version>;
export type DirectoryAnswer = v.InferOutput<typeof directory>;
export type PublicRoomsAnswer = v.InferOutput<typeof publicRooms>;
export type HierarchyAnswer = v.InferOutput<typeof hierarchy>;

export interface PublicRoomsWish {
  readonly limit?: number | undefined;
  readonly since?: string | undefined;
  readonly filter?: JsonObject | undefined;
  readonly includeAllNetworks?: boolean | undefined;
  readonly thirdPartyInstanceId?: string | undefined;
}

export const queryEndpoints = (client: FederationClient) => ({
  version: (server: ServerName, options: CallOptions = {}): Called<VersionAnswer> => {
    const request = { method: 'GET', path: '/_matrix/federation/v1/version', signed: false, timeoutMs } as const;
    return call(client, server, request, options, replyOf(version));
  },

  /** The room that an alias names, and servers in it. */
  directory: (server: ServerName, alias: string, options: CallOptions = {}): Called<DirectoryAnswer> => {
    const query = { room_alias: alias };
    const request = { method: 'GET', path: '/_matrix/federation/v1/query/directory', query, timeoutMs } as const;
    return call(client, server, request, options, replyOf(directory));
  },

  /** A page of the published rooms; with a filter by POST. */
  publicRooms: (server: ServerName, wish: PublicRoomsWish, options: CallOptions = {}): Called<PublicRoomsAnswer> => {
    const { limit, since, filter, includeAllNetworks, thirdPartyInstanceId } = wish;
    const query = {
      limit,
      since,
      include_all_networks: includeAllNetworks,
      third_party_instance_id: thirdPartyInstanceId,
    };
    const target = { path: '/_matrix/federation/v1/publicRooms', timeoutMs };
    const request: FederationRequest =
      filter === undefined
        ? { ...target, method: 'GET', query }
        : { ...target, method: 'POST', body: { ...query, filter } };
    return call(client, server, request, options, replyOf(publicRooms));
  },

  /** A space and the rooms right below it. */
  hierarchy: (
    server: ServerName,
    roomId: string,
    suggestedOnly: boolean,
    options: CallOptions = {},
  ): Called<HierarchyAnswer> => {
    const target = path`/_matrix/federation/v1/hierarchy/${roomId}`;
    const request = { method: 'GET', path: target, query: { suggested_only: suggestedOnly }, timeoutMs } as const;
    return call(client, server, request, options, replyOf(hierarchy));
  },
});
