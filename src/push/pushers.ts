/**
 * Pushers (C-S API v1.19 §Push notifications, `/pushers`): where a user's notifications are sent. A pusher belongs to
 * the device that set it and goes with it: at logout, and for other devices when the password changes.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { matrixError } from '../matrix/errors.ts';
import type { UserId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Position, Snapshot, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { countsText, type Badges } from './badges.ts';
import {
  deletePusher,
  selectIdOf,
  selectIdsOfDevice,
  selectIdsOfOthers,
  selectPusher,
  selectPushersOf,
  upsertPusher,
  type PusherRow,
} from './pusher-storage.ts';
import type { PushQueue } from './queue.ts';

/** What a client says of a pusher. */
export interface PusherWish {
  readonly kind: string;
  readonly appId: string;
  readonly pushkey: string;
  readonly appDisplayName: string;
  readonly deviceDisplayName: string;
  readonly profileTag: string | undefined;
  readonly lang: string;
  readonly data: JsonObject;
  /** Leaves pushers of other users with the same app id and pushkey alone. */
  readonly append: boolean;
  /** What the client knows of its counts, as `countsOf` tells them: a new pusher is not told that again. */
  readonly counts: string;
}

export interface PusherRules {
  /** Whether a gateway may be spoken to without TLS. */
  readonly plainHttp: boolean;
  /** Whether mails can be sent. */
  readonly mail: boolean;
  /** The mail addresses that a user has shown to be his. */
  readonly emailsOf: (snapshot: Snapshot, user: UserId) => readonly string[];
}

/** Each message costs a row and a request for every one. */
const maxPushers = 50;
const maxData = 16_384;
const notifyPath = '/_matrix/push/v1/notify';

export class Pushers {
  readonly #clock: Clock;
  readonly #queue: PushQueue;
  readonly #rules: PusherRules;
  readonly #badges: Badges;
  #changed: (pusher: number) => void = () => undefined;

  constructor(clock: Clock, queue: PushQueue, badges: Badges, rules: PusherRules) {
    this.#clock = clock;
    this.#badges = badges;
    this.#queue = queue;
    this.#rules = rules;
  }

  /** Calls `listener` once it is on disk that a pusher was set anew or is gone. */
  onChange(listener: (pusher: number) => void): void {
    this.#changed = listener;
  }

  /** The user's pushers as clients read them, oldest first. */
  list(snapshot: Snapshot, user: UserId): JsonObject[] {
    return snapshot.all(selectPushersOf, user).map((row) => ({
      pushkey: row.pushkey,
      kind: row.kind,
      app_id: row.app_id,
      app_display_name: row.app_display_name,
      device_display_name: row.device_display_name,
      ...(row.profile_tag === null ? {} : { profile_tag: row.profile_tag }),
      lang: row.lang,
      data: dataOf(row),
    }));
  }

  /** JSON text of the user's counts as of `head`, the sequence head of the snapshot. */
  countsOf(snapshot: Snapshot, head: Position, user: UserId): string {
    return countsText(this.#badges.of(snapshot, head, user));
  }

  /** Makes a pusher, or changes the user's one with this app id and pushkey. @throws M_INVALID_PARAM, M_THREEPID_NOT_FOUND */
  set(tx: Tx, user: UserId, deviceId: string | undefined, wish: PusherWish): void {
    checkKey(wish.appId, wish.pushkey);
    const { kind, appId, pushkey } = wish;
    if (kind === 'http') checkUrl(wish.data['url'], this.#rules.plainHttp);
    else if (kind === 'email') this.#checkEmail(tx, user, wish);
    else throw matrixError.invalidParam('This kind of pusher is not known');
    const data = JSON.stringify(wish.data);
    if (Buffer.byteLength(data) > maxData) throw matrixError.invalidParam('The data of the pusher is too large');
    if (!wish.append) {
      for (const { id } of tx.all(selectIdsOfOthers, appId, pushkey, user)) this.#delete(tx, id);
    }
    if (tx.get(selectIdOf, user, appId, pushkey) === undefined) {
      if (tx.all(selectPushersOf, user).length >= maxPushers)
        throw matrixError.forbidden('The user has too many pushers');
    }
    this.#queue.addUser(user);
    tx.run(
      upsertPusher,
      ...([user, appId, pushkey, kind, deviceId ?? null] as const),
      ...([wish.appDisplayName, wish.deviceDisplayName, wish.profileTag ?? null, wish.lang, data] as const),
      ...([this.#clock.now(), wish.counts, randomBytes(24).toString('base64url')] as const),
    );
    const id = tx.get(selectIdOf, user, appId, pushkey)?.id;
    if (id !== undefined) tx.afterDurable(() => this.#changed(id));
    tx.touch(`user:${user}`);
  }

  /** Deletes the user's pusher with this app id and pushkey, if there is one. */
  remove(tx: Tx, user: UserId, appId: string, pushkey: string): void {
    const id = tx.get(selectIdOf, user, appId, pushkey)?.id;
    if (id === undefined) return;
    this.#delete(tx, id);
    tx.touch(`user:${user}`);
  }

  /** A device is gone. */
  deviceDeleted(tx: Tx, user: UserId, deviceId: string): void {
    for (const { id } of tx.all(selectIdsOfDevice, user, deviceId)) this.#delete(tx, id);
  }

  /** Deletes the pusher that a link in a mail names, by its token (`unsubscribeToken`); false: there is none. */
  unsubscribe(tx: Tx, token: string): boolean {
    const row = this.#byToken(tx, token);
    if (row === undefined) return false;
    this.#delete(tx, row.id);
    tx.touch(`user:${row.user_id}`);
    return true;
  }

  /** The mail address of a link's pusher; undefined: there is none (any more). */
  addressOf(snapshot: Snapshot, token: string): string | undefined {
    return this.#byToken(snapshot, token)?.pushkey;
  }

  #byToken(snapshot: Snapshot, token: string): PusherRow | undefined {
    const [id = '', secret = ''] = token.split('.');
    if (!/^\d{1,15}$/.test(id)) return undefined;
    const row = snapshot.get(selectPusher, Number(id));
    if (row?.kind !== 'email' || row.secret.length !== secret.length) return undefined;
    const isRight = timingSafeEqual(Buffer.from(row.secret), Buffer.from(secret));
    return isRight ? row : undefined;
  }

  #delete(tx: Tx, id: number): void {
    tx.run(deletePusher, id);
    tx.afterDurable(() => this.#changed(id));
  }

  #checkEmail(snapshot: Snapshot, user: UserId, { appId, pushkey }: PusherWish): void {
    if (!this.#rules.mail) throw matrixError.invalidParam('This server sends no mails');
    if (appId !== 'm.email') throw matrixError.invalidParam('The app id of a pusher for mail is m.email');
    if (!ownsAddress(this.#rules.emailsOf(snapshot, user), pushkey)) {
      throw matrixError.threepidNotFound('The mail address is not one of the account');
    }
  }
}

/** Whether a mail address is among those of an account. */
export const ownsAddress = (addresses: readonly string[], address: string): boolean =>
  addresses.some((own) => own.toLowerCase() === address.toLowerCase());

/** What a link that ends mails is proved with. */
export const unsubscribeToken = ({ id, secret }: Pick<PusherRow, 'id' | 'secret'>): string => `${id}.${secret}`;

/** The data of a pusher: JSON that was an object when it was stored. */
export const dataOf = ({ data }: Pick<PusherRow, 'data'>): JsonObject => JSON.parse(data) as JsonObject;

/** @throws M_INVALID_PARAM */
function checkKey(appId: string, pushkey: string): void {
  if (appId === '' || appId.length > 64) throw matrixError.invalidParam('The app id has 1 to 64 characters');
  if (pushkey === '' || Buffer.byteLength(pushkey) > 512) {
    throw matrixError.invalidParam('The pushkey has 1 to 512 bytes');
  }
}

/** "MUST be an HTTPS URL with a path of `/_matrix/push/v1/notify`." @throws M_MISSING_PARAM, M_INVALID_PARAM */
function checkUrl(value: unknown, plainHttp: boolean): void {
  if (typeof value !== 'string') throw matrixError.missingParam('data.url is missing');
  const url = value.length <= 2048 && URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol !== 'https:' && !(plainHttp && url?.protocol === 'http:')) {
    throw matrixError.invalidParam('data.url must be an https address');
  }
  if (url.pathname !== notifyPath || url.username !== '' || url.password !== '') {
    throw matrixError.invalidParam(`data.url must have the path ${notifyPath}`);
  }
}
