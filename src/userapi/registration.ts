/**
 * Making accounts (C-S API v1.19 §Account registration): users with User-Interactive Authentication as the
 * configuration demands, guests, and accounts made by the operator.
 */
import type { Config } from '../config/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject } from '../matrix/json.ts';
import { sql, type Database, type Tx } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { Accounts } from './accounts.ts';
import type { Passwords } from './passwords.ts';
import type { RegistrationTokens } from './registration-tokens.ts';
import type { Session, Sessions, SessionWish } from './sessions.ts';
import type { EmailValidations } from './email-validations.ts';
import type { Threepids } from './threepids.ts';
import type { Flows, StageName, Uia, UiaFacts } from './uia.ts';

export interface RegistrationWish extends SessionWish {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly inhibitLogin?: boolean | undefined;
  /** Token of a guest who wants to become a user under the name that he has. */
  readonly guestToken?: string | undefined;
}

/** An account made by the operator: nothing but its name is asked for. */
export interface OperatorWish extends RegistrationWish {
  readonly password: string;
  readonly isAdmin?: boolean | undefined;
  readonly userType?: string | undefined;
}

/** Called inside the transaction that makes an account. */
export type AccountListener = (tx: Tx, userId: UserId) => void;

export interface RegistrationParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly config: Config['registration'];
  readonly recaptcha: Config['recaptcha'];
  readonly validations: EmailValidations;
  readonly threepids: Threepids;
  readonly accounts: Accounts;
  readonly passwords: Passwords;
  readonly tokens: RegistrationTokens;
  readonly sessions: Sessions;
  readonly uia: Uia;
  /** The user id is kept for an application service. */
  readonly isReserved?: ((userId: UserId) => boolean) | undefined;
}

const insertTerms = sql<[userId: string, document: string, version: string, now: number]>(
  'INSERT INTO userapi_accepted_terms (user_id, document, version, accepted_at) VALUES (?, ?, ?, ?)',
);
const maxPassword = 512;

export class Registration {
  readonly #parts: RegistrationParts;

  constructor(parts: RegistrationParts) {
    this.#parts = parts;
  }

  /** Whether anyone may take the name. @throws M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE */
  checkAvailable(username: string): UserId {
    if (this.#parts.isReserved?.(this.#parts.accounts.idForRegistration(username)) === true) {
      throw matrixError.exclusive('The user name is reserved by an application service');
    }
    return this.#freeId(username);
  }

  /** @throws M_INVALID_USERNAME, M_USER_IN_USE */
  #freeId(username: string): UserId {
    const { db, accounts } = this.#parts;
    const userId = accounts.idForRegistration(username);
    if (db.read((snapshot) => accounts.get(snapshot, userId)) !== undefined) throw matrixError.userInUse();
    return userId;
  }

  /**
   * Registers a user once the demanded stages are complete; `read` takes the wish from the completed body.
   * @returns the session, or the 401 that says what is missing
   * @throws M_FORBIDDEN when registration is closed, M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE
   */
  register(body: JsonObject, read: (body: JsonObject) => RegistrationWish): Promise<unknown> {
    const { config, recaptcha, uia } = this.#parts;
    if (config.mode === 'closed') throw matrixError.forbidden('Registration is closed on this server');
    // A client that lost the answer repeats its last request: the account is made once.
    const done = uia.outcome('register', body);
    if (done !== undefined) return done;
    const wished = read(body);
    if (wished.guestToken !== undefined) this.#guest(wished.guestToken, wished.username);
    else if (wished.username !== undefined) this.checkAvailable(wished.username);
    const params: JsonObject = {
      ...(config.terms.length > 0 ? { 'm.login.terms': termsParameters(config.terms) } : {}),
      ...(config.requireCaptcha ? { 'm.login.recaptcha': { public_key: recaptcha.publicKey ?? '' } } : {}),
    };
    const alsoTaken: StageName[] = recaptcha.privateKey === undefined ? [] : ['m.login.recaptcha'];
    const stages = { flows: this.#flows(), alsoTaken, params };
    const request = { operation: 'register', requester: undefined, body, ...stages, once: true };
    return uia.guard(request, (granted) => this.#createUser(read(granted.body), granted.facts));
  }

  /** Registers a guest. @throws M_GUEST_ACCESS_FORBIDDEN when the server takes none */
  registerGuest(displayName: string | undefined): Promise<Session> {
    const { db, accounts, sessions, config } = this.#parts;
    if (!config.guests) throw matrixError.guestAccessForbidden('This server takes no guests');
    return db.write((tx) => {
      const userId = accounts.idForRegistration(undefined);
      accounts.create(tx, { userId, kind: 'guest' });
      return sessions.open(tx, userId, { displayName });
    });
  }

  /** Makes an account for the operator; `also` runs in the same transaction. @throws M_INVALID_USERNAME, M_USER_IN_USE */
  async registerByOperator(wish: OperatorWish, also?: AccountListener): Promise<Session | { userId: UserId }> {
    const { db, accounts, passwords, sessions } = this.#parts;
    const userId = wish.username === undefined ? accounts.idForRegistration(undefined) : this.#freeId(wish.username);
    const passwordHash = await passwords.hash(checkedPassword(wish.password));
    return db.write((tx) => {
      accounts.create(tx, { userId, passwordHash, isAdmin: wish.isAdmin ?? false, userType: wish.userType });
      also?.(tx, userId);
      return wish.inhibitLogin === true ? { userId } : sessions.open(tx, userId, wish);
    });
  }

  /** §Guest Access: who upgrades his account keeps its name. @throws M_FORBIDDEN, M_INVALID_USERNAME */
  #guest(token: string, username: string | undefined): UserId {
    const { accounts, sessions } = this.#parts;
    const account = sessions.owner(token);
    if (account?.kind !== 'guest') throw matrixError.forbidden('guest_access_token is not the token of a guest');
    if (username === undefined || accounts.idForRegistration(username) !== account.userId) {
      throw matrixError.invalidUsername('A guest registers under the name that he has');
    }
    return account.userId;
  }

  /**
   * Registers a user without a password for an application service that `owns` the user id.
   * @throws M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE for a user outside its namespaces
   */
  async registerForService(
    wish: RegistrationWish,
    owns: (userId: UserId) => boolean,
  ): Promise<Session | { userId: UserId }> {
    const { db, accounts, sessions } = this.#parts;
    if (wish.username === undefined) throw matrixError.missingParam('Missing: username');
    if (!owns(accounts.idForRegistration(wish.username))) {
      throw matrixError.exclusive('The user name is outside your namespaces');
    }
    const userId = this.#freeId(wish.username);
    return db.write((tx) => {
      accounts.create(tx, { userId });
      return wish.inhibitLogin === true ? { userId } : sessions.open(tx, userId, wish);
    });
  }

  /**
   * Makes the account of a user whom single sign-on has shown, if there is none yet; it has no password.
   * @throws M_EXCLUSIVE for a name that is kept for an application service
   */
  async ensureUser(userId: UserId): Promise<void> {
    const { db, accounts, isReserved } = this.#parts;
    await db.write((tx) => {
      if (accounts.get(tx, userId) !== undefined) return;
      if (isReserved?.(userId) === true) throw matrixError.exclusive();
      accounts.create(tx, { userId });
    });
  }

  /** What the configuration demands, without and with an e-mail address. */
  #flows(): Flows {
    const { config, validations } = this.#parts;
    const stages: StageName[] = [];
    if (config.mode === 'token') stages.push('m.login.registration_token');
    if (config.requireCaptcha) stages.push('m.login.recaptcha');
    if (config.terms.length > 0) stages.push('m.login.terms');
    const withEmail: Flows = validations.isPossible ? [[...stages, 'm.login.email.identity']] : [];
    if (config.requireEmail) return withEmail;
    return [stages.length === 0 ? ['m.login.dummy'] : stages, ...withEmail];
  }

  async #createUser(wish: RegistrationWish, facts: UiaFacts): Promise<Session | { userId: UserId }> {
    const { db, clock, config, accounts, passwords, tokens, sessions, threepids, validations } = this.#parts;
    const { registrationToken: token, email } = facts;
    const guest = wish.guestToken === undefined ? undefined : this.#guest(wish.guestToken, wish.username);
    const userId = guest ?? accounts.idForRegistration(wish.username);
    if (wish.password === undefined) throw matrixError.missingParam('Missing: password');
    const passwordHash = await passwords.hash(checkedPassword(wish.password));
    return db.write((tx) => {
      if (guest === undefined) accounts.create(tx, { userId, passwordHash });
      else accounts.promote(tx, userId, passwordHash);
      if (token !== undefined && !tokens.use(tx, token))
        throw matrixError.forbidden('The registration token has ended');
      if (email !== undefined) {
        threepids.add(tx, userId, { medium: 'email', address: email.address }, email.validatedAt);
        validations.end(tx, email.sid);
      }
      for (const { id, version } of config.terms) tx.run(insertTerms, userId, id, version, clock.now());
      return wish.inhibitLogin === true ? { userId } : sessions.open(tx, userId, wish);
    });
  }
}

/** @throws M_WEAK_PASSWORD, M_INVALID_PARAM */
export function checkedPassword(password: string): string {
  if (password === '') throw matrixError.weakPassword('The password is empty');
  if (password.length > maxPassword) throw matrixError.invalidParam(`A password has at most ${maxPassword} characters`);
  return password;
}

/** `params` of the stage m.login.terms: documents by id, translations by language. */
function termsParameters(terms: Config['registration']['terms']): JsonObject {
  const policies: Record<string, JsonObject> = {};
  for (const { id, version, language, name, url } of terms) {
    policies[id] = { ...policies[id], version, [language]: { name, url } };
  }
  return { policies };
}
