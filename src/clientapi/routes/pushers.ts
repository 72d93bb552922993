/** Pushers, the list of notifications, and the page that ends mails (C-S API v1.19 §Push notifications). */
import * as v from 'valibot';
import { JsonText, Reply, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { escapeHtml, type Push, type PusherWish } from '../../push/index.ts';
import { asPosition, type Database } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import { jsonObject, maybe, readBody } from './body.ts';
import { token, wholeNumber } from './paging-query.ts';

export interface PusherRouteParts {
  readonly db: Database;
  readonly push: Push;
  readonly clock: Clock;
}

const v3 = '/_matrix/client/v3';
const unsubscribePath = '/_neurite/push/unsubscribe';

const name = v.pipe(v.string(), v.maxLength(1024, 'is too long'));
const pusherKey = v.object({ app_id: v.string(), pushkey: v.string() });
const pusherBody = v.object({
  kind: v.string(),
  app_id: v.string(),
  pushkey: v.string(),
  app_display_name: name,
  device_display_name: name,
  profile_tag: maybe(name),
  lang: name,
  data: jsonObject,
  append: maybe(v.boolean()),
});
const notificationsQuery = v.object({
  from: token,
  limit: v.optional(wholeNumber),
  only: v.optional(v.string()),
});
const unsubscribeQuery = v.object({ token: v.string() });
const defaultLimit = 20;
const maxLimit = 100;

export const pusherRoutes = (parts: PusherRouteParts): Route[] => [
  ...ownRoutes(parts),
  notificationsRoute(parts),
  ...unsubscribeRoutes(parts),
];

function ownRoutes({ db, push: { pushers } }: PusherRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: `${v3}/pushers`,
      auth: 'user',
      rate: 'none',
      handle: ({ requester: { userId }, shown }) => {
        shown.key(`user:${userId}`);
        return { pushers: db.read((snapshot) => pushers.list(snapshot, userId)) };
      },
    }),
    route({
      method: 'POST',
      path: `${v3}/pushers/set`,
      auth: 'user',
      rate: 'write',
      body: jsonObject,
      handle: ({ requester: { userId, deviceId }, body }) => {
        if (body['kind'] === null) {
          const { app_id: appId, pushkey } = readBody(pusherKey, body);
          return db.write((tx) => {
            pushers.remove(tx, userId, appId, pushkey);
            return {};
          });
        }
        const counts = db.read((snapshot) => pushers.countsOf(snapshot, db.head, userId));
        const wish = { ...wishOf(body), counts };
        return db.write((tx) => {
          pushers.set(tx, userId, deviceId, wish);
          return {};
        });
      },
    }),
  ];
}

/** @throws M_MISSING_PARAM, M_BAD_JSON */
function wishOf(body: JsonObject): Omit<PusherWish, 'counts'> {
  const wish = readBody(pusherBody, body);
  return {
    kind: wish.kind,
    appId: wish.app_id,
    pushkey: wish.pushkey,
    appDisplayName: wish.app_display_name,
    deviceDisplayName: wish.device_display_name,
    profileTag: wish.profile_tag,
    lang: wish.lang,
    data: wish.data,
    append: wish.append ?? false,
  };
}

const notificationsRoute = ({ db, push, clock }: PusherRouteParts): Route =>
  route({
    method: 'GET',
    path: `${v3}/notifications`,
    auth: 'user',
    rate: 'none',
    query: notificationsQuery,
    handle: ({ requester: { userId, deviceId }, query: { from, limit = defaultLimit, only }, shown }) => {
      const wish = {
        ...{ user: userId, deviceId, now: clock.now() },
        before: from === undefined ? undefined : asPosition(pageOf(from)),
        limit: Math.max(1, Math.min(limit, maxLimit)),
        onlyHighlights: only === 'highlight',
      };
      const { items, next, newest } = db.read((snapshot) => push.notifications.list(snapshot, db.head, wish));
      shown.position(newest);
      shown.key(`user:${userId}`);
      const nextToken = next === undefined ? '' : `,"next_token":"${next}"`;
      return new JsonText([`{"notifications":[${items.join(',')}]${nextToken}}`]);
    },
  });

/** @throws M_INVALID_PARAM */
function pageOf(from: string): number {
  if (!/^\d{1,15}$/.test(from)) throw matrixError.invalidParam('from is no token of this endpoint');
  return Number(from);
}

/** Links in mails lead here. Only a POST ends the mails: mail programs open links before their users do. */
function unsubscribeRoutes({ db, push: { pushers } }: PusherRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: unsubscribePath,
      auth: 'none',
      rate: 'login',
      query: unsubscribeQuery,
      handle: ({ query }) => {
        const address = db.read((snapshot) => pushers.addressOf(snapshot, query.token));
        if (address === undefined) return page('<p>No mails are sent for this link any more.</p>', 404);
        const button = '<button type="submit">End the mails</button>';
        return page(
          `<p>Mails about unread messages are sent to ${escapeHtml(address)}.</p><form method="post">${button}</form>`,
        );
      },
    }),
    route({
      method: 'POST',
      path: unsubscribePath,
      auth: 'none',
      rate: 'login',
      query: unsubscribeQuery,
      handle: async ({ query }) => {
        await db.write((tx) => pushers.unsubscribe(tx, query.token));
        return page('<p>No more mails about unread messages will be sent for this link.</p>');
      },
    }),
  ];
}

const page = (body: string, status = 200): Reply =>
  new Reply(
    status,
    Buffer.from(
      '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mails about unread messages</title>' +
        `<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>${body}</body></html>`,
    ),
    {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': "default-src 'none'; form-action 'self'",
      'X-Frame-Options': 'DENY',
      'Referrer-Policy': 'no-referrer',
    },
  );
