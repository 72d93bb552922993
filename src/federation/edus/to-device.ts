/** `m.direct_to_device` (S-S API v1.19 §Send-to-device messaging): each message into its devices' queues, once. */
import * as v from 'valibot';
import { parseDeviceId, parseUserId, type ServerName } from '../../matrix/ids.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import { sql, type Database } from '../../storage/index.ts';
import type { UserApi } from '../../userapi/index.ts';
import type { Clock } from '../../util/clock.ts';
import { fitsBytes } from '../../util/bytes.ts';
import { readContent, userOf } from './checks.ts';

const insertMessage = sql<[origin: string, messageId: string, at: number]>(
  'INSERT INTO federation_to_device (origin, message_id, received_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
);
const deleteOld = sql<[before: number, limit: number]>(
  `DELETE FROM federation_to_device WHERE (origin, message_id) IN
   (SELECT origin, message_id FROM federation_to_device WHERE received_at < ? ORDER BY received_at LIMIT ?)`,
);

/** How long a message that was received is told from a new one, in ms: longer than servers try to send it. */
const remembered = 30 * 86_400_000;
const batch = 2000;
/** Bytes; the specification allows 32 characters. */
const maxMessageId = 255;
const maxType = 255;
const schema = v.object({
  sender: v.string(),
  type: v.pipe(v.string(), v.minLength(1)),
  message_id: v.pipe(v.string(), v.minLength(1)),
  messages: v.record(v.string(), v.record(v.string(), jsonObject)),
});

export interface ToDeviceEduParts {
  readonly db: Database;
  readonly users: Pick<UserApi, 'accounts' | 'toDevice'>;
  readonly clock: Clock;
}

export class ToDeviceEdus {
  readonly #parts: ToDeviceEduParts;

  constructor(parts: ToDeviceEduParts) {
    this.#parts = parts;
  }

  async receive(origin: ServerName, content: unknown): Promise<void> {
    const edu = readContent(schema, content);
    const sender = edu && userOf(origin, edu.sender);
    if (edu === undefined || sender === undefined) return;
    if (!fitsBytes(edu.message_id, maxMessageId) || !fitsBytes(edu.type, maxType)) return;
    const { db, users, clock } = this.#parts;
    await db.write((tx) => {
      // "Unique ID for the message, used for idempotence": kept in the commit that queues it.
      if (tx.run(insertMessage, origin, edu.message_id, clock.now()).changes === 0) return;
      for (const [name, devices] of Object.entries(edu.messages)) {
        const userId = parseUserId(name);
        if (userId === undefined || !users.accounts.isLocal(userId)) continue;
        for (const [deviceId, message] of Object.entries(devices)) {
          if (parseDeviceId(deviceId) === undefined) continue;
          users.toDevice.send(tx, sender, edu.type, userId, deviceId, message);
        }
      }
    });
  }

  async prune(): Promise<void> {
    const { db, clock } = this.#parts;
    let deleted = batch;
    while (deleted === batch) {
      deleted = await db.write((tx) => tx.run(deleteOld, clock.now() - remembered, batch).changes);
    }
  }
}
