/** Users of this server and what is known of others, their files, and what notifies them. */
import { publicBaseUrl } from '../config/index.ts';
import { missingFile, type FedClient } from '../fedclient/index.ts';
import { parseServerName, type UserId } from '../matrix/ids.ts';
import { createMedia, type FetchRemote, type Media } from '../mediaapi/index.ts';
import { createPush, type Push } from '../push/index.ts';
import { createRemoteUsers, createUserApi, type RemoteUsers, type UserApi } from '../userapi/index.ts';
import { cacheMeasure } from '../util/metrics.ts';
import type { Site } from './ground.ts';
import type { RoomModules } from './rooms.ts';

export interface UserModules {
  readonly users: UserApi;
  /** What is known of users of other servers, and how it is asked. */
  readonly remoteUsers: RemoteUsers;
  readonly media: Media;
  readonly push: Push;
}

export function buildUsers(site: Site, { rooms, federation }: RoomModules): UserModules {
  const { config, serverName, clock, log, metrics, limiter, db, bus, lifecycle, signingKey, services } = site;
  const users = createUserApi({
    ...{ db, bus, rooms, config, serverName, signingKey, clock },
    isReserved: (userId) => services.reservesUser(userId),
  });
  lifecycle.onStop('accounts', () => users.close());
  metrics.add(users.authenticator.measures);
  db.read((snapshot) => users.rateOverrides.follow(snapshot, (user, limit) => limiter.override(user, limit)));
  const remoteUsers = lifecycle.use(
    'remote users',
    createRemoteUsers({ db, lists: users.remoteLists, federation, clock, log }),
  );
  metrics.add(remoteUsers.measures);
  const media = lifecycle.use(
    'media',
    createMedia({
      ...{ db, config, serverName, clock, log },
      isErased: (snapshot, user) => users.accounts.isErased(snapshot, user),
      fetchRemote: fetchRemote(federation),
    }),
  );
  const push = buildPush(site, rooms, users);
  return { users, remoteUsers, media, push };
}

/** Files of other servers. */
const fetchRemote =
  ({ api }: FedClient): FetchRemote =>
  async ({ origin, mediaId }, options) => {
    const name = parseServerName(origin);
    if (name === undefined) return { kind: 'not-found' };
    const file = await api.downloadMedia(name, mediaId, options);
    return file.ok ? { kind: 'content', ...file.value } : { kind: missingFile(file.error) };
  };

function buildPush(site: Site, rooms: RoomModules['rooms'], users: UserApi): Push {
  const { config, serverName, clock, log, metrics, db, bus, mailer, lifecycle } = site;
  const { accounts, accountData, devices, receipts } = users;
  const push = createPush({
    ...{ serverName, clock, log, db, bus, rooms, mailer },
    config: config.push,
    baseUrl: publicBaseUrl(config),
    users: {
      markers: receipts,
      ignoreLists: accountData,
      emailsOf: (snapshot, user) =>
        accounts.threepids(snapshot, user).flatMap(({ medium, address }) => (medium === 'email' ? [address] : [])),
      isLocal: (user) => accounts.isLocal(user as UserId),
    },
  });
  devices.onChange({ deleted: (tx, user, deviceId) => push.pushers.deviceDeleted(tx, user, deviceId) });
  lifecycle.use('push', push.delivery);
  metrics.add(push.delivery.measures);
  metrics.add([cacheMeasure('push', 'entries', () => ({ counts: push.counts.cached }))]);
  return push;
}
