/** Userapi: accounts, devices, tokens, keys, and what users keep on the server. It owns the tables `userapi_…`. */
import type { Bus } from '../bus/index.ts';
import type { Config } from '../config/index.ts';
import { localpartOf, type UserId } from '../matrix/ids.ts';
import type { RoomReader, RoomWriter } from '../roomserver/index.ts';
import { AccountData } from './account-data.ts';
import type { Accounts } from './accounts.ts';
import { UserDirectory } from './directory.ts';
import { createEncryption, type Encryption, type EncryptionParts } from './encryption.ts';
import { Filters } from './filters.ts';
import { MemberEvents } from './member-events.ts';
import { OpenIdTokens } from './openid.ts';
import { Presence } from './presence.ts';
import { Profiles } from './profiles.ts';
import { RateOverrides } from './rate-overrides.ts';
import { Receipts } from './receipts.ts';
import { Reports } from './reports.ts';
import { createSignIn, type SignIn, type SignInParts } from './sign-in.ts';
import { SyncData } from './sync-data.ts';
import { Typing } from './typing.ts';

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
export type { Presence } from './presence.ts';
export type { PresenceContent, PresenceState } from './presence-state.ts';
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

export interface UserApi extends SignIn, Encryption {
  readonly accountData: AccountData;
  readonly profiles: Profiles;
  readonly directory: UserDirectory;
  readonly openIdTokens: OpenIdTokens;
  readonly reports: Reports;
  readonly rateOverrides: RateOverrides;
  readonly filters: Filters;
  readonly memberEvents: MemberEvents;
  readonly receipts: Receipts;
  readonly typing: Typing;
  readonly presence: Presence;
  /** What /sync reads of all this. */
  readonly syncData: SyncData;
  /** Writes what waits in memory and ends all timers. */
  close(): Promise<void>;
}

export interface UserApiParts extends SignInParts, EncryptionParts {
  readonly rooms: RoomReader & RoomWriter;
  readonly config: SignInParts['config'] & Pick<Config, 'presence' | 'userDirectory'>;
}

/** Builds the module and adds its projections to the bus; `memberEvents.resume()` takes up what a crash left undone. */
export function createUserApi(parts: UserApiParts): UserApi {
  const { db, bus, rooms, config, clock } = parts;
  const { mailer, ...signIn } = createSignIn(parts);
  const { accounts, devices, identity } = signIn;
  const isLocal = (user: UserId): boolean => accounts.isLocal(user);

  const accountData = new AccountData(bus);
  const profiles = new Profiles(bus);
  const { searchAllUsers: showsEveryone } = config.userDirectory;
  const directory = new UserDirectory({ rooms, accounts, profiles, showsEveryone });
  const openIdTokens = new OpenIdTokens(clock);
  const reports = new Reports(clock);
  const rateOverrides = new RateOverrides();
  const filters = new Filters();
  const memberEvents = new MemberEvents(db, rooms, profiles);
  const encryption = createEncryption(parts, devices, isLocal);

  const receipts = new Receipts(bus, clock, rooms, accountData);
  const typing = new Typing(db, bus, clock);
  const presence = new Presence(db, bus, clock, config.presence.enabled, isLocal);
  greetNewAccounts(accounts, profiles, presence);
  followActivity(bus, presence, isLocal);
  const syncData = new SyncData({ accountData, filters, presence, receipts, typing, ...encryption });

  const close = async (): Promise<void> => {
    mailer?.[Symbol.dispose]();
    await Promise.all([devices.close(), typing.close(), presence.close(), identity[Symbol.asyncDispose]()]);
  };
  return {
    ...signIn,
    ...encryption,
    ...{ accountData, profiles, directory, openIdTokens, reports, rateOverrides, filters, memberEvents },
    ...{ receipts, typing, presence, syncData, close },
  };
}

function greetNewAccounts(accounts: Accounts, profiles: Profiles, presence: Presence): void {
  accounts.onCreate((tx, { userId, kind }) => {
    // Clients show people by name from the start; guests choose one.
    if (kind === 'user' && profiles.field(tx, userId, 'displayname') === undefined) {
      profiles.set(tx, userId, 'displayname', localpartOf(userId));
    }
    tx.afterCommit(() => presence.created(userId));
  });
}

/** Sending is activity (§Last active ago). */
function followActivity(bus: Bus, presence: Presence, isLocal: (user: UserId) => boolean): void {
  bus.addListener((entries) => {
    for (const { entry } of entries) {
      if (entry.topic === 'room.event' && isLocal(entry.sender)) presence.active(entry.sender, undefined);
    }
  });
}
