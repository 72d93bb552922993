/** Questions about users, their devices and keys (S-S API v1.19 §Device Management, §End-to-End Encryption, §OpenID). */
import * as v from 'valibot';
import type { ServerName } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { FederationClient } from '../client.ts';
import { replyOf } from '../reply.ts';
import { call, path, queryTimeoutMs as timeoutMs, type Called, type CallOptions } from './call.ts';

const objects = v.record(v.string(), jsonObject);

/** Each device is for the caller to check: one that is not valid, or has no keys, says nothing of the others. */
const devices = v.object({
  user_id: v.string(),
  stream_id: v.pipe(v.number(), v.integer()),
  devices: v.array(jsonObject),
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
    v.record(v.string(), v.record(v.string(), v.record(v.string(), v.union([v.string(), jsonObject])))),
    {},
  ),
});
const userInfo = v.object({ sub: v.string() });

export type DevicesAnswer = v.InferOutput<typeof devices>;
export type KeysAnswer = v.InferOutput<typeof keys>;
export type ClaimedKeys = v.InferOutput<typeof claimed>;

export const userEndpoints = (client: FederationClient) => ({
  /** All profile fields of a user, or one. */
  profile: (
    server: ServerName,
    userId: string,
    field: string | undefined,
    options: CallOptions = {},
  ): Called<JsonObject> => {
    const query = { user_id: userId, field };
    const request = { method: 'GET', path: '/_matrix/federation/v1/query/profile', query, timeoutMs } as const;
    return call(client, server, request, options, replyOf(jsonObject));
  },

  devices: (server: ServerName, userId: string, options: CallOptions = {}): Called<DevicesAnswer> => {
    const request = { method: 'GET', path: path`/_matrix/federation/v1/user/devices/${userId}`, timeoutMs } as const;
    return call(client, server, request, options, replyOf(devices));
  },

  /** Whose OpenID token this is. */
  openIdUserInfo: (server: ServerName, token: string, options: CallOptions = {}): Called<{ sub: string }> => {
    const target = { path: '/_matrix/federation/v1/openid/userinfo', query: { access_token: token } };
    return call(client, server, { method: 'GET', ...target, signed: false, timeoutMs }, options, replyOf(userInfo));
  },
});

export const keyEndpoints = (client: FederationClient) => ({
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
});
