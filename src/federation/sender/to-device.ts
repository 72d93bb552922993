/** Messages to devices of other servers (S-S API v1.19 §Send-to-device messaging): kept until their server has them. */
import type { ServerName, UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Tx } from '../../storage/index.ts';
import { insertToDevice } from './storage.ts';

export interface DeviceMessages {
  readonly sender: UserId;
  /** Event type. */
  readonly type: string;
  /** Tells one message from another, at most 32 codepoints: whoever gets it twice delivers it once. */
  readonly messageId: string;
  /** User id → device id, or `*` for all of his → content. */
  readonly messages: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>;
}

/** Puts a message into a server's queue. */
export function queueMessages(tx: Tx, server: ServerName, { sender, type, messageId, messages }: DeviceMessages): void {
  const content = JSON.stringify({ message_id: messageId, messages, sender, type });
  tx.run(insertToDevice, server, tx.nextPosition(), content);
}
