/** How people get and prove an account: registration, passwords, sessions, devices, addresses, single sign-on. */
import type { Bus } from '../bus/index.ts';
import { mailOptions, publicBaseUrl, type Config } from '../config/index.ts';
import type { SigningKey } from '../fedclient/index.ts';
import { deleteTransactions } from '../http/index.ts';
import type { ServerName, UserId } from '../matrix/ids.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { createMailer, type Mailer } from '../util/mailer.ts';
import { Accounts } from './accounts.ts';
import { TokenAuthenticator } from './authenticator.ts';
import { Cas } from './cas.ts';
import { Devices } from './devices.ts';
import { EmailValidations } from './email-validations.ts';
import { IdentityServers } from './identity-servers.ts';
import { Passwords } from './passwords.ts';
import { RegistrationTokens } from './registration-tokens.ts';
import { Registration } from './registration.ts';
import { Sessions } from './sessions.ts';
import { createStages, ownerFlows } from './stages.ts';
import { Threepids } from './threepids.ts';
import { Tokens } from './tokens.ts';
import { Uia } from './uia.ts';

export interface SignIn {
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
}

export interface SignInParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly config: Pick<Config, 'registration' | 'passwords' | 'sessions' | 'mail' | 'recaptcha' | 'cas' | 'identity'> &
    Parameters<typeof publicBaseUrl>[0];
  readonly serverName: ServerName;
  /** Signs requests to identity servers. */
  readonly signingKey: SigningKey;
  readonly clock: Clock;
  /** The user id is kept for an application service. */
  readonly isReserved?: (userId: UserId) => boolean;
}

/** Builds the parts that sign people in; `mailer`, `identity` and `devices` are for the caller to close. */
export function createSignIn(parts: SignInParts): SignIn & { readonly mailer: Mailer | undefined } {
  const { db, bus, config, serverName, signingKey, clock, isReserved } = parts;
  const accounts = new Accounts(bus, serverName, clock);
  const passwords = new Passwords(config.passwords);
  const tokens = new Tokens(clock, config.sessions.accessTokenLifetime);
  const devices = new Devices(db, clock, tokens);
  devices.onChange({ deleted: deleteTransactions });
  const sessions = new Sessions(db, clock, { accounts, devices, tokens, passwords });
  const registrationTokens = new RegistrationTokens(clock, config.registration);
  const baseUrl = publicBaseUrl(config);
  const { recaptcha } = config;
  const { serverUrl } = config.cas;
  const cas = serverUrl === undefined ? undefined : new Cas({ ...config.cas, serverUrl }, baseUrl, serverName);
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
  const authenticator = new TokenAuthenticator(db, clock, accounts, devices, tokens);
  return {
    ...{ accounts, authenticator, passwords, uia, registration, registrationTokens, sessions, devices },
    ...{ threepids, validations, identity, cas, mailer },
  };
}
