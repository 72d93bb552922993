/** `m.device_list_update` and `m.signing_key_update` (S-S API v1.19 §Device Management, §End-to-End Encryption). */
import * as v from 'valibot';
import { parseDeviceId, type ServerName } from '../../matrix/ids.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { Database } from '../../storage/index.ts';
import { checkedDeviceKeys, checkedName, checkedSigningKey, type RemoteUsers } from '../../userapi/index.ts';
import { readContent, safeInteger, userOf } from './checks.ts';

const maxPrevIds = 1000;
const updateSchema = v.object({
  user_id: v.string(),
  device_id: v.string(),
  stream_id: safeInteger,
  prev_id: v.optional(v.nullable(v.pipe(v.array(safeInteger), v.maxLength(maxPrevIds)))),
  deleted: v.optional(v.nullable(v.boolean())),
  device_display_name: v.optional(v.nullable(v.string())),
  keys: v.optional(v.nullable(jsonObject)),
});
const signingKeySchema = v.object({
  user_id: v.string(),
  master_key: v.optional(v.nullable(jsonObject)),
  self_signing_key: v.optional(v.nullable(jsonObject)),
});

export interface DeviceListEduParts {
  readonly db: Database;
  readonly remoteUsers: Pick<RemoteUsers, 'fetcher' | 'lists'>;
}

export class DeviceListEdus {
  readonly #parts: DeviceListEduParts;

  constructor(parts: DeviceListEduParts) {
    this.#parts = parts;
  }

  async update(origin: ServerName, content: unknown): Promise<void> {
    const edu = readContent(updateSchema, content);
    const userId = edu && userOf(origin, edu.user_id);
    const deviceId = edu && parseDeviceId(edu.device_id);
    if (edu === undefined || userId === undefined || deviceId === undefined) return;
    const told = edu.keys ?? undefined;
    const keys = told === undefined ? undefined : checkedDeviceKeys(told, userId, deviceId);
    if (told !== undefined && keys === undefined) return;
    const { lists } = this.#parts.remoteUsers;
    await this.#write((tx) =>
      lists.update(tx, {
        userId,
        streamId: edu.stream_id,
        prevIds: edu.prev_id ?? [],
        device: { deviceId, displayName: checkedName(edu.device_display_name), keys },
        deleted: edu.deleted ?? false,
      }),
    );
  }

  async signingKeys(origin: ServerName, content: unknown): Promise<void> {
    const edu = readContent(signingKeySchema, content);
    const userId = edu && userOf(origin, edu.user_id);
    if (edu === undefined || userId === undefined) return;
    const master = edu.master_key && checkedSigningKey(edu.master_key, userId, 'master');
    const selfSigning = edu.self_signing_key && checkedSigningKey(edu.self_signing_key, userId, 'self_signing');
    const keys = { ...(master ? { master } : {}), ...(selfSigning ? { self_signing: selfSigning } : {}) };
    if (Object.keys(keys).length === 0) return;
    await this.#write((tx) => this.#parts.remoteUsers.lists.updateSigningKeys(tx, { userId, keys }));
  }

  /** @param work returns whether a list is wanted now */
  async #write(work: (tx: Parameters<Parameters<Database['write']>[0]>[0]) => boolean): Promise<void> {
    if (await this.#parts.db.write(work)) this.#parts.remoteUsers.fetcher.wake();
  }
}
