/** Messages to devices (C-S API v1.19 §Send-to-Device messaging). */
import * as v from 'valibot';
import { route, type Route } from '../../http/index.ts';
import type { Database } from '../../storage/index.ts';
import type { ToDevice } from '../../userapi/index.ts';
import { jsonObject } from './body.ts';

export interface ToDeviceRouteParts {
  readonly db: Database;
  readonly toDevice: ToDevice;
}

export const toDeviceRoutes = ({ db, toDevice }: ToDeviceRouteParts): Route[] => [
  route({
    method: 'PUT',
    path: '/_matrix/client/v3/sendToDevice/:eventType/:txnId',
    auth: 'guest',
    rate: 'message',
    transaction: 'txnId',
    body: v.object({ messages: v.record(v.string(), v.record(v.string(), jsonObject)) }),
    handle: ({ requester: { userId }, params: { eventType }, body, transaction }) =>
      db.write((tx) => {
        toDevice.sendAll(tx, userId, eventType, body.messages);
        const reply = {};
        transaction?.record(tx, reply);
        return reply;
      }),
  }),
];
