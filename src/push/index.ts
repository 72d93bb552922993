/**
 * Push: rules, evaluation as events are committed, unread counts, pushers and what is sent for them, the list of
 * notifications.
 */
import type { Bus, RoomNid } from '../bus/index.ts';
import type { Config } from '../config/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { asString } from '../matrix/json.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database, Snapshot, Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import type { Mailer } from '../util/mailer.ts';
import { Badges } from './badges.ts';
import { UnreadCounts, type ReadMarkerSource } from './counts.ts';
import { Delivery } from './delivery.ts';
import { createGateway } from './gateway.ts';
import { HttpTeller } from './http-teller.ts';
import { Ignoring, type IgnoreLists } from './ignoring.ts';
import { MailTeller } from './mail-teller.ts';
import { Notifications } from './notifications.ts';
import { PushProjection } from './projection.ts';
import { Pushers } from './pushers.ts';
import { PushQueue } from './queue.ts';
import { PushRules } from './rules.ts';

export type { ReadMarker, ReadMarkerSource, RoomCounts, UnreadCount } from './counts.ts';
export type { Delivery } from './delivery.ts';
export { escapeHtml } from './mail-text.ts';
export type { Notifications } from './notifications.ts';
export type { Pushers, PusherWish } from './pushers.ts';
export type { PushRules } from './rules.ts';

export interface Push {
  readonly rules: PushRules;
  readonly counts: UnreadCounts;
  readonly pushers: Pushers;
  readonly notifications: Notifications;
  /** Sends what is queued, from `start()` until it is disposed. */
  readonly delivery: Delivery;
}

export interface PushParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: Config['push'];
  readonly serverName: string;
  /** Where clients reach this server, without a trailing slash. */
  readonly baseUrl: string;
  readonly mailer: Mailer | undefined;
  readonly users: PushUsers;
}

/** What is asked about users. */
export interface PushUsers {
  readonly markers: ReadMarkerSource;
  readonly ignoreLists: IgnoreLists;
  /** The mail addresses that a user has shown to be his. */
  readonly emailsOf: (snapshot: Snapshot, user: UserId) => readonly string[];
  readonly isLocal: (user: string) => boolean;
}

/** Builds the module and adds its projection to the bus. */
export function createPush(parts: PushParts): Push {
  const { db, bus, rooms, clock, config, users } = parts;
  const { markers, emailsOf, isLocal } = users;
  const rules = db.read((snapshot) => new PushRules(bus, { textMentions: config.textMentions }, snapshot));
  const ignoring = db.read((snapshot) => new Ignoring(users.ignoreLists, snapshot));
  const queue = db.read((snapshot) => new PushQueue(clock, config.mail.interval, snapshot));
  const counts = new UnreadCounts(rooms, markers);
  const badges = new Badges(rooms, counts);
  const plainHttp = config.allowNetworks.length > 0;
  const pushers = new Pushers(clock, queue, badges, { plainHttp, mail: parts.mailer !== undefined, emailsOf });
  const displayName = (tx: Tx, room: RoomNid, user: UserId): string | undefined => {
    const member = rooms.membership(tx, room, user);
    return member === undefined ? undefined : asString(rooms.roomEvent(tx, member.event).content['displayname']);
  };
  bus.addProjection(new PushProjection({ bus, rooms, rules, counts, badges, queue, ignoring, isLocal, displayName }));
  const delivery = createDelivery(parts, { counts, badges });
  queue.onWork((pusher, read) => delivery.wake(pusher, read ? 'read' : 'work'));
  pushers.onChange((pusher) => delivery.wake(pusher, 'set'));
  return { rules, counts, pushers, notifications: new Notifications(rooms, counts), delivery };
}

function createDelivery(parts: PushParts, told: { counts: UnreadCounts; badges: Badges }): Delivery {
  const { db, rooms, clock, config, serverName, baseUrl, mailer } = parts;
  const { emailsOf } = parts.users;
  const log = parts.log.child({ module: 'push' });
  const { allowNetworks, timeout, retry } = config;
  const gateway = createGateway({ allowNetworks, timeout, userAgent: 'Neurite' });
  const shared = { db, rooms, clock, config, ...told };
  const tellers = {
    http: new HttpTeller({ ...shared, gateway }),
    email: new MailTeller({ ...shared, log, mailer, serverName, baseUrl, emailsOf }),
  };
  return new Delivery({ db, clock, log, tellers, retry, close: () => gateway.close() });
}
