/** Userapi: accounts, devices, tokens, keys, and what users keep on the server. It owns the tables `userapi_…`. */
import type { Bus } from '../bus/index.ts';
import { mailOptions, publicBaseUrl, type Config } from '../config/index.ts';
import type { SigningKey } from '../fedclient/index.ts';
import { deleteTransactions } from '../http/index.ts';
import { localpartOf, type ServerName, type UserId } from '../matrix/ids.ts';
import type { RoomReader, RoomWriter } from '../roomserver/index.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { createMailer } from '../util/mailer.ts';
import { AccountData } from './account-data.ts';
import { Accounts } from './accounts.ts';
import { TokenAuthenticator } from './authenticator.ts';
import { Cas } from './cas.ts';
import { CrossSigning } from './cross-signing.ts';
import { DehydratedDevices } from './dehydrated.ts';
import { DeviceLists } from './device-lists.ts';
import { Devices } from './devices.ts';
import { UserDirectory } from './directory.ts';
import { EmailValidations } from './email-validations.ts';
import { Filters } from './filters.ts';
import { IdentityServers } from './identity-servers.ts';
import { KeyBackups } from './key-backup.ts';
import { DeviceKeys, Signatures } from './keys.ts';
import { MemberEvents } from './member-events.ts';
import { OneTimeKeys } from './one-time-keys.ts';
import { OpenIdTokens } from './openid.ts';
import { Passwords } from './passwords.ts';
import { Presence } from './presence.ts';
import { Profiles } from './profiles.ts';
import { RateOverrides } from './rate-overrides.ts';
import { Receipts } from './receipts.ts';
import { RegistrationTokens } from './registration-tokens.ts';
import { Registration } from './registration.ts';
import { RemoteLists } from './remote/lists.ts';
import { Reports } from './reports.ts';
import { Sessions } from './sessions.ts';
import { createStages, ownerFlows } from './stages.ts';
import { SyncData } from './sync-data.ts';
import { Threepids } from './threepids.ts';
import { ToDevice } from './to-device.ts';
import { Tokens } from './tokens.ts';
import { Typing } from './typing.ts';
import { Uia } from './uia.ts';

export type { AccountData } from './account-data.ts';
export { accountOrders, listAccounts, type ListedAccount } from './account-list.ts';
export type { Account, Accounts } from './accounts.ts';
export type { TokenAuthenticator } from './authenticator.ts';
export { casUser, mappedLocalpart, type Cas, type SsoPurpose } from './cas.ts';
export { keyUsages, type CrossSigning, type KeyUpload } from './cross-signing.ts';
export { deactivate } from './deactivation.ts';
export type { DehydratedDevices, DehydratedUpload } from './dehydrated.ts';
export type { DeviceLists } from './device-lists.ts';
export type { Device, Devices } from './devices.ts';
export { openUserDirectory, type UserDirectory } from './directory.ts';
export { submitPath, type EmailValidations, type Purpose, type ValidationKey } from './email-validations.ts';
export type { Filters } from './filters.ts';
export { IdentityServers, type StoredInvite } from './identity-servers.ts';
export type { BackedUpKey, KeyBackups, KeysByRoom, KeyScope } from './key-backup.ts';
export type { DeviceKeys } from './keys.ts';
export type { MemberEvents } from './member-events.ts';
export type { OneTimeKeys } from './one-time-keys.ts';
export type { OpenIdTokens } from './openid.ts';
export type { Passwords } from './passwords.ts';
export type { Presence, PresenceContent, PresenceState } from './presence.ts';
export { checkFieldName, Profiles } from './profiles.ts';
export type { RateOverrides } from './rate-overrides.ts';
export type { Receipts } from './receipts.ts';
export { createRemoteUsers, type RemoteUsers } from './remote/index.ts';
export type { RemoteKeyAnswer } from './remote/keys.ts';
export { checkedDeviceKeys, checkedName, checkedSigningKey } from './remote/key-checks.ts';
export type { RemoteLists } from './remote/lists.ts';
export type { RegistrationToken, RegistrationTokens } from './registration-tokens.ts';
export { checkedPassword, type OperatorWish, type Registration, type RegistrationWish } from './registration.ts';
export type { NewReport, Report, Reports } from './reports.ts';
export { noticeRoomOf, noticeSender, type ServerNotice, ServerNotices } from './server-notices.ts';
export { newOpaqueId } from './secrets.ts';
export { loginTokenLifetime, type Identifier, type Session, type Sessions } from './sessions.ts';
export { identifierOf } from './stages.ts';
export type { SyncData } from './sync-data.ts';
export { canonicalThreepid, type BindCredentials, type Threepid, type Threepids } from './threepids.ts';
export type { ToDevice } from './to-device.ts';
export type { IssuedTokens } from './tokens.ts';
export type { Typing } from './typing.ts';
export type { Flows, Granted, Uia } from './uia.ts';

export interface UserApi {
  readonly accounts: Accounts;
  readonly authenticator: TokenAuthenticator;
  readonly passwords: Passwords;
  readonly uia: Uia;
  readonly registration: Registration;
  readonly registrationTokens: RegistrationTokens;
  readonly sessions: Sessions;
  readonly threepids: Threepids;
  readonly validations: EmailValidations;
  readonly identity: IdentityServers;
  /** Single sign-on; absent without configuration. */
  readonly cas: Cas | undefined;
  readonly devices: Devices;
  readonly accountData: AccountData;
  readonly profiles: Profiles;
  readonly directory: UserDirectory;
  readonly openIdTokens: OpenIdTokens;
  readonly reports: Reports;
  readonly rateOverrides: RateOverrides;
  readonly filters: Filters;
  readonly memberEvents: MemberEvents;
  readonly deviceKeys: DeviceKeys;
  readonly oneTimeKeys: OneTimeKeys;
  readonly crossSigning: CrossSigning;
  readonly deviceLists: DeviceLists;
  /** Devices and keys of users of other servers; `createRemoteUsers` fetches them. */
  readonly remoteLists: RemoteLists;
  readonly keyBackups: KeyBackups;
  readonly dehydrated: DehydratedDevices;
  readonly toDevice: ToDevice;
  readonly receipts: Receipts;
  readonly typing: Typing;
  readonly presence: Presence;
  /** What /sync reads of all this. */
  readonly syncData: SyncData;
  /** Writes what waits in memory and ends all timers. */
  close(): Promise<void>;
}

export interface UserApiParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader & RoomWriter;
  readonly config: Pick<
    Config,
    'registration' | 'passwords' | 'presence' | 'sessions' | 'userDirectory' | 'mail' | 'recaptcha' | 'cas' | 'identity'
  > &
    Parameters<typeof publicBaseUrl>[0];
  readonly serverName: ServerName;
  /** Signs requests to identity servers. */
  readonly signingKey: SigningKey;
  readonly clock: Clock;
  /** The user id is kept for an application service. */
  readonly isReserved?: (userId: UserId) => boolean;
}

/** Builds the module and adds its projections to the bus; `memberEvents.resume()` takes up what a crash left undone. */
export function createUserApi(parts: UserApiParts): UserApi {
  const { db, bus, rooms, config, serverName, signingKey, clock, isReserved } = parts;
  const accounts = new Accounts(bus, serverName, clock);
  const passwords = new Passwords(config.passwords);
  const tokens = new Tokens(clock, config.sessions.accessTokenLifetime);
  const devices = new Devices(db, clock, tokens);
  devices.onChange({ deleted: deleteTransactions });
  const sessions = new Sessions(db, clock, { accounts, devices, tokens, passwords });
  const registrationTokens = new RegistrationTokens(clock, config.registration);
  const baseUrl = publicBaseUrl(config);
  const { recaptcha, cas: casConfig } = config;
  const { serverUrl } = casConfig;
  const cas = serverUrl === undefined ? undefined : new Cas({ ...casConfig, serverUrl }, baseUrl, serverName);
  const mail = mailOptions(config);
  const mailer = mail === undefined ? undefined : createMailer(mail);
  const validations = new EmailValidations({ db, clock, serverName, baseUrl, mailer });
  const identity = new IdentityServers(config.identity, serverName, signingKey);
  const threepids = new Threepids(db, clock, identity);
  const stages = createStages({ db, accounts, sessions, tokens: registrationTokens, validations, recaptcha });
  const uia = new Uia(clock, stages, ownerFlows(db, accounts, cas !== undefined));
  const registration = new Registration({
    ...{ db, clock, config: config.registration, accounts, passwords },
    ...{ tokens: registrationTokens, sessions, uia, recaptcha, validations, threepids, isReserved },
  });

  const accountData = new AccountData(bus);
  const profiles = new Profiles(bus);
  const { searchAllUsers: showsEveryone } = config.userDirectory;
  const directory = new UserDirectory({ rooms, accounts, profiles, showsEveryone });
  const openIdTokens = new OpenIdTokens(clock);
  const reports = new Reports(clock);
  const rateOverrides = new RateOverrides();
  const filters = new Filters();
  const memberEvents = new MemberEvents(db, rooms, profiles);

  const deviceLists = new DeviceLists(bus);
  const signatures = new Signatures();
  const deviceKeys = new DeviceKeys(devices, deviceLists, signatures);
  const oneTimeKeys = new OneTimeKeys(bus, clock, devices);
  const isLocal = (user: UserId): boolean => accounts.isLocal(user);
  const remoteLists = new RemoteLists({ bus, rooms, changes: deviceLists, signatures, isLocal });
  const crossSigning = new CrossSigning({
    ...{ devices, deviceKeys, signatures, lists: deviceLists },
    remoteMaster: (snapshot, user) => remoteLists.signingKey(snapshot, user, 'master'),
  });
  const keyBackups = new KeyBackups();
  const dehydrated = new DehydratedDevices(devices, deviceKeys, oneTimeKeys);
  const toDevice = new ToDevice(db, bus, devices);

  const receipts = new Receipts(bus, clock, rooms, accountData);
  const typing = new Typing(db, bus, clock);
  const presence = new Presence(db, bus, clock, config.presence.enabled, isLocal);
  accounts.onCreate((tx, { userId, kind }) => {
    // Clients show people by name from the start; guests choose one.
    if (kind === 'user' && profiles.field(tx, userId, 'displayname') === undefined) {
      profiles.set(tx, userId, 'displayname', localpartOf(userId));
    }
    tx.afterCommit(() => presence.created(userId));
  });
  // Sending is activity (§Last active ago).
  bus.addListener((entries) => {
    for (const { entry } of entries) {
      if (entry.topic === 'room.event' && accounts.isLocal(entry.sender)) presence.active(entry.sender, undefined);
    }
  });
  const read = { accountData, deviceLists, filters, oneTimeKeys, presence, receipts, toDevice, typing };
  const syncData = new SyncData(read);

  const authenticator = new TokenAuthenticator(db, clock, accounts, devices, tokens);
  const close = async (): Promise<void> => {
    mailer?.[Symbol.dispose]();
    await Promise.all([devices.close(), typing.close(), presence.close(), identity[Symbol.asyncDispose]()]);
  };
  return {
    ...{ accounts, authenticator, passwords, uia, registration, registrationTokens, sessions, devices },
    ...{ threepids, validations, identity, cas },
    ...{
      openIdTokens,
      reports,
      rateOverrides,
      accountData,
      profiles,
      directory,
      filters,
      memberEvents,
      deviceKeys,
      oneTimeKeys,
      crossSigning,
      deviceLists,
      remoteLists,
    },
    ...{ keyBackups, dehydrated, toDevice, receipts, typing, presence, syncData, close },
  };
}
