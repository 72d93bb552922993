/** Questions about users, devices, keys, aliases, directories, spaces and the server itself (S-S API v1.19). */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import { isJsonObject, type JsonObject } from '../../matrix/json.ts';
import type { FederationClient } from '../client.ts';
import type { FederationRequest } from '../exchange.ts';
import { replyOf } from '../reply.ts';
import { call, path, second, type Called, type CallOptions } from './call.ts';

const object = v.custom<JsonObject>(isJsonObject, 'expected an object');
const objects = v.record(v.string(), object);

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
  room: v.looseObject({ room_id: v.string(), children_state: v.optional(v.array(object), []) }),
  children: v.optional(v.array(room), []),
  inaccessible_children: v.optional(v.array(v.string()), []),
});
/** Each device is for the caller to check: one that is not valid, or has no keys, says nothing of the others. */
const devices = v.object({
  user_id: v.string(),
  stream_id: v.pipe(v.number(), v.integer()),
  devices: v.array(object),
  master_key: v.optional(v.unknown()),
  self_signing_key: v.optional(v.unknown()),
});
const keys = v.object({
  device_keys: v.optional(v.record(v.string(), objects), {}),
  master_keys: v.optional(objects, {}),
  self_signing_keys: v.optional(objects, {}),
});
const claimed = v.object({
  one_time_keys: v.optional(
    v.record(v.string(), v.record(v.string(), v.record(v.string(), v.union([v.string(), object])))),
    {},
  ),
});
const userInfo = v.object({ sub: v.string() });

export type VersionAnswer = v.InferOutput<typeof version>;
export type DirectoryAnswer = v.InferOutput<typeof directory>;
export type PublicRoomsAnswer = v.InferOutput<typeof publicRooms>;
export type HierarchyAnswer = v.InferOutput<typeof hierarchy>;
export type DevicesAnswer = v.InferOutput<typeof devices>;
export type KeysAnswer = v.InferOutput<typeof keys>;
export type ClaimedKeys = v.InferOutput<typeof claimed>;

export interface PublicRoomsWish {
  readonly limit?: number | undefined;
  readonly since?: string | undefined;
  readonly filter?: JsonObject | undefined;
  readonly includeAllNetworks?: boolean | undefined;
  readonly thirdPartyInstanceId?: string | undefined;
}

/** Someone waits for the answer. */
const timeoutMs = 20 * second;

// oxlint-disable-next-line max-lines-per-function -- one row an endpoint
export const queryEndpoints = (client: FederationClient) => ({
  version: (server: ServerName, options: CallOptions = {}): Called<VersionAnswer> => {
    const request = { method: 'GET', path: '/_matrix/federation/v1/version', signed: false, timeoutMs } as const;
    return call(client, server, request, options, replyOf(version));
  },

  /** All profile fields of a user, or one. */
  profile: (
    server: ServerName,
    userId: string,
    field: string | undefined,
    options: CallOptions = {},
  ): Called<JsonObject> => {
    const query = { user_id: userId, field };
    const request = { method: 'GET', path: '/_matrix/federation/v1/query/profile', query, timeoutMs } as const;
    return call(client, server, request, options, replyOf(object));
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

  devices: (server: ServerName, userId: string, options: CallOptions = {}): Called<DevicesAnswer> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/user/devices/${userId}`, timeoutMs } as const;
    return call(client, server, request, options, replyOf(devices));
  },

  /** Keys of users' devices; an empty list of devices asks for all. */
  queryKeys: (
    server: ServerName,
    deviceKeys: Readonly<Record<string, readonly string[]>>,
    options: CallOptions = {},
  ): Called<KeysAnswer> => {
    const wanted = Object.entries(deviceKeys).map(([user, ids]): [string, string[]] => [user, [...ids]]);
    const body = { device_keys: Object.fromEntries(wanted) };
    const request = { method: 'POST', path: '/_matrix/federation/v1/user/keys/query', body, timeoutMs } as const;
    return call(client, server, request, options, replyOf(keys));
  },

  /** One-time keys: user → device → algorithm. */
  claimKeys: (
    server: ServerName,
    oneTimeKeys: Readonly<Record<string, Readonly<Record<string, string>>>>,
    options: CallOptions = {},
  ): Called<ClaimedKeys> => {
    const wanted = Object.entries(oneTimeKeys).map(([user, ids]) => [user, { ...ids }] as const);
    const body = { one_time_keys: Object.fromEntries(wanted) };
    const request = { method: 'POST', path: '/_matrix/federation/v1/user/keys/claim', body, timeoutMs } as const;
    return call(client, server, request, options, replyOf(claimed));
  },

  /** Whose OpenID token this is. */
  openIdUserInfo: (server: ServerName, token: string, options: CallOptions = {}): Called<{ sub: string }> => {
    const target = { path: '/_matrix/federation/v1/openid/userinfo', query: { access_token: token } };
    return call(client, server, { method: 'GET', ...target, signed: false, timeoutMs }, options, replyOf(userInfo));
  },
});
