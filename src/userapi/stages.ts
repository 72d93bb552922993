/** The stages of User-Interactive Authentication that this server knows (C-S API v1.19 §Authentication types). */
import type { Config } from '../config/index.ts';
import type { Requester } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import { memberOf, type JsonObject } from '../matrix/json.ts';
import type { Database } from '../storage/index.ts';
import { err, ok } from '../util/result.ts';
import type { Accounts } from './accounts.ts';
import { checkCaptcha } from './captcha.ts';
import type { EmailValidations, ValidationKey } from './email-validations.ts';
import type { RegistrationTokens } from './registration-tokens.ts';
import type { Identifier, Sessions } from './sessions.ts';
import type { Flows, Stage, StageName } from './uia.ts';

/** Reads `identifier` of a login or password stage, or the deprecated `user`, `medium` and `address` beside it. */
export function identifierOf(auth: JsonObject): Identifier | undefined {
  const text = (key: string): string | undefined => {
    const value = memberOf(auth.identifier, key) ?? auth[key];
    return typeof value === 'string' ? value : undefined;
  };
  const user = text('user');
  const medium = text('medium');
  const address = text('address');
  if (memberOf(auth.identifier, 'type') !== 'm.id.thirdparty' && user !== undefined) return { kind: 'user', user };
  return medium === undefined || address === undefined ? undefined : { kind: 'threepid', medium, address };
}

/** The validation session that `threepid_creds` of a body names. */
function validationKeyOf(credentials: unknown): ValidationKey | undefined {
  const sid = memberOf(credentials, 'sid');
  const clientSecret = memberOf(credentials, 'client_secret');
  return typeof sid === 'string' && typeof clientSecret === 'string' ? { sid, clientSecret } : undefined;
}

export interface StageParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly tokens: RegistrationTokens;
  readonly validations: EmailValidations;
  readonly recaptcha: Config['recaptcha'];
}

/** How a user shows that he holds his account: by its password if it has one, by single sign-on where there is one. */
export const ownerFlows =
  (db: Database, accounts: Accounts, hasSso: boolean) =>
  ({ userId }: Requester): Flows => {
    const hasPassword = db.read((snapshot) => accounts.get(snapshot, userId))?.passwordHash !== undefined;
    return [
      ...(hasPassword || !hasSso ? [['m.login.password'] as const] : []),
      ...(hasSso ? [['m.login.sso'] as const] : []),
    ];
  };

/** The stages, over the modules that can answer them. */
export function createStages(parts: StageParts): Readonly<Record<StageName, Stage>> {
  const { db, sessions, tokens, recaptcha } = parts;
  const passwordStage = async (auth: JsonObject, requester: Requester | undefined): ReturnType<Stage> => {
    const { password } = auth;
    const identifier: Identifier | undefined =
      identifierOf(auth) ?? (requester === undefined ? undefined : { kind: 'user', user: requester.userId });
    if (typeof password !== 'string') return err(matrixError.missingParam('Missing: auth.password'));
    if (identifier === undefined) return err(matrixError.missingParam('Missing: auth.identifier'));
    const account = await sessions.checkPassword(identifier, password);
    if (account === undefined) return err(matrixError.forbidden('Wrong user name or password'));
    // Somebody else has shown himself: no second attempt makes that right.
    if (requester !== undefined && account.userId !== requester.userId) {
      throw matrixError.forbidden('This is the password of another user');
    }
    return ok({ userId: account.userId });
  };
  const tokenStage = async ({ token }: JsonObject): ReturnType<Stage> => {
    const valid = typeof token === 'string' && db.read((snapshot) => tokens.isValid(snapshot, token));
    return valid ? ok({ registrationToken: token }) : err(matrixError.forbidden('The registration token is not valid'));
  };
  return {
    'm.login.dummy': async () => ok({}),
    'm.login.terms': async () => ok({}),
    'm.login.password': passwordStage,
    'm.login.registration_token': tokenStage,
    'm.login.email.identity': emailStage(parts),
    'm.login.recaptcha': (auth) => checkCaptcha(recaptcha, auth),
    // Completed by the browser that comes back from there, never by a client's word.
    'm.login.sso': async () => err(matrixError.forbidden('Complete this stage in a browser')),
  };
}

/** A proven address: of a new account, or of the one whose password is forgotten. */
const emailStage =
  ({ db, accounts, validations }: StageParts): Stage =>
  async (auth) => {
    const key = validationKeyOf(auth.threepid_creds ?? auth.threepidCreds);
    if (key === undefined) return err(matrixError.missingParam('Missing: auth.threepid_creds'));
    return db.read((snapshot) => {
      const forNew = validations.proven(snapshot, key, 'register');
      if (forNew !== undefined) return ok({ email: forNew });
      const email = validations.proven(snapshot, key, 'password');
      const owner = email === undefined ? undefined : accounts.findByThreepid(snapshot, 'email', email.address);
      if (email === undefined || owner === undefined) return err(matrixError.threepidAuthFailed());
      return ok({ email, userId: owner.userId });
    });
  };
