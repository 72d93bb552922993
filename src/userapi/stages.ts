/** The stages of User-Interactive Authentication that this server knows (C-S API v1.19 §Authentication types). */
import type { Requester } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import { memberOf, type JsonObject } from '../matrix/json.ts';
import type { Database } from '../storage/index.ts';
import { err, ok } from '../util/result.ts';
import type { RegistrationTokens } from './registration-tokens.ts';
import type { Identifier, Sessions } from './sessions.ts';
import type { Stage, StageName } from './uia.ts';

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

/** The stages, over the modules that can answer them. */
export function createStages(
  db: Database,
  sessions: Sessions,
  tokens: RegistrationTokens,
): Readonly<Record<StageName, Stage>> {
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
  };
}
