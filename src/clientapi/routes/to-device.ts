/** Messages to devices (C-S API v1.19 §Send-to-Device messaging), of this server's users and of others'. */
import * as v from 'valibot';
import type { FederationSender } from '../../federation/index.ts';
import { route, type Route } from '../../http/index.ts';
import { parseUserId, serverNameOf, type ServerName, type UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { Database, Tx } from '../../storage/index.ts';
import { newOpaqueId, type Accounts, type ToDevice } from '../../userapi/index.ts';
import { jsonObject } from './body.ts';

export interface ToDeviceRouteParts {
  readonly db: Database;
  readonly accounts: Pick<Accounts, 'isLocal'>;
  readonly toDevice: ToDevice;
  readonly sender: Pick<FederationSender, 'queueToDevice'>;
}

/** User id → device id, or `*` → content. */
type Messages = Record<string, Record<string, JsonObject>>;

/** What goes into one EDU: many messages for one server are split. */
const maxMessages = 100;
const maxCharacters = 500_000;

export const toDeviceRoutes = (parts: ToDeviceRouteParts): Route[] => [
  route({
    method: 'PUT',
    path: '/_matrix/client/v3/sendToDevice/:eventType/:txnId',
    auth: 'guest',
    rate: 'message',
    transaction: 'txnId',
    body: v.object({ messages: v.record(v.string(), v.record(v.string(), jsonObject)) }),
    handle: ({ requester: { userId }, params: { eventType }, body, transaction }) =>
      parts.db.write((tx) => {
        const { own, remote } = split(parts, body.messages);
        parts.toDevice.sendAll(tx, userId, eventType, own);
        for (const [server, messages] of remote) queue(tx, parts, server, userId, eventType, messages);
        const reply = {};
        transaction?.record(tx, reply);
        return reply;
      }),
  }),
];

/** By who delivers them; ids that no server gives are for nobody. */
function split(
  { accounts }: ToDeviceRouteParts,
  messages: Messages,
): { own: Messages; remote: Map<ServerName, Messages> } {
  const own: Messages = {};
  const remote = new Map<ServerName, Messages>();
  for (const [name, devices] of Object.entries(messages)) {
    const userId = parseUserId(name);
    if (userId === undefined) continue;
    if (accounts.isLocal(userId)) {
      own[userId] = devices;
      continue;
    }
    const server = serverNameOf(userId);
    const ofServer = remote.get(server) ?? {};
    ofServer[userId] = devices;
    remote.set(server, ofServer);
  }
  return { own, remote };
}

function queue(
  tx: Tx,
  { sender }: ToDeviceRouteParts,
  server: ServerName,
  from: UserId,
  type: string,
  messages: Messages,
): void {
  let part: Messages = {};
  let count = 0;
  let characters = 0;
  const flush = (): void => {
    if (count > 0) sender.queueToDevice(tx, server, { sender: from, type, messageId: newOpaqueId(), messages: part });
    part = {};
    count = 0;
    characters = 0;
  };
  for (const [userId, devices] of Object.entries(messages)) {
    for (const [deviceId, content] of Object.entries(devices)) {
      const size = JSON.stringify(content).length;
      if (count >= maxMessages || characters + size > maxCharacters) flush();
      (part[userId] ??= {})[deviceId] = content;
      count += 1;
      characters += size;
    }
  }
  flush();
}
