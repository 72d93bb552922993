/** Registration tokens (C-S API v1.19 §Token-authenticated registration), managed by administrators. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { flag, maybe, route, type Route } from '../http/index.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { Database } from '../storage/index.ts';
import type { RegistrationToken, RegistrationTokens } from '../userapi/index.ts';
import type { Clock } from '../util/clock.ts';
import { v1 } from './common.ts';

export interface RegistrationTokenParts {
  readonly db: Database;
  readonly registrationTokens: RegistrationTokens;
  readonly clock: Clock;
}

const path = `${v1}/registration_tokens` as const;
const one = `${path}/:token` as const;
const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0, 'expected no negative number'));
const token = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9._~-]{1,64}$/, 'expected 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -'),
);
const limits = { uses_allowed: v.nullish(wholeNumber), expiry_time: v.nullish(wholeNumber) };
const length = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(1, 'expected 1 to 64'),
  v.maxValue(64, 'expected 1 to 64'),
);

/** A use is counted when the account is made: nothing is pending. */
const describe = ({ token: text, usesAllowed, uses, expiresAt }: RegistrationToken): JsonObject => ({
  token: text,
  uses_allowed: usesAllowed,
  pending: 0,
  completed: uses,
  expiry_time: expiresAt,
});

export function registrationTokenRoutes(parts: RegistrationTokenParts): Route[] {
  const { db, registrationTokens: tokens, clock } = parts;
  const checkExpiry = (expiresAt: number | null | undefined): void => {
    if (typeof expiresAt === 'number' && expiresAt < clock.now()) {
      throw matrixError.invalidParam('expiry_time is in the past');
    }
  };
  return [
    route({
      method: 'GET',
      path,
      auth: 'admin',
      rate: 'none',
      query: v.object({ valid: v.optional(flag) }),
      handle: ({ query: { valid } }) => {
        const listed = db.read((snapshot) => tokens.list(snapshot));
        const wanted = listed.filter(({ isValid }) => valid === undefined || isValid === valid);
        return { registration_tokens: wanted.map(describe) };
      },
    }),
    route({
      method: 'POST',
      path: `${path}/new`,
      auth: 'admin',
      rate: 'none',
      body: v.object({ ...limits, token: maybe(token), length: maybe(length) }),
      handle: ({ body }) => {
        checkExpiry(body.expiry_time);
        const text =
          body.token ??
          randomBytes(64)
            .toString('base64url')
            .slice(0, body.length ?? 16);
        return db.write((tx) => {
          if (tokens.get(tx, text) !== undefined) throw matrixError.invalidParam('The token exists already');
          tokens.put(tx, text, { usesAllowed: body.uses_allowed ?? null, expiresAt: body.expiry_time ?? null });
          return known(tokens.get(tx, text));
        });
      },
    }),
    ...tokenRoutes(parts, checkExpiry),
  ];
}

function tokenRoutes(
  { db, registrationTokens: tokens }: RegistrationTokenParts,
  checkExpiry: (expiresAt: number | null | undefined) => void,
): Route[] {
  return [
    route({
      method: 'GET',
      path: one,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) => known(db.read((snapshot) => tokens.get(snapshot, params.token))),
    }),
    route({
      method: 'PUT',
      path: one,
      auth: 'admin',
      rate: 'none',
      body: v.object(limits),
      handle: ({ params, body }) => {
        checkExpiry(body.expiry_time);
        return db.write((tx) => {
          const before = tokens.get(tx, params.token);
          if (before === undefined) throw unknownToken();
          const { uses_allowed: usesAllowed = before.usesAllowed, expiry_time: expiresAt = before.expiresAt } = body;
          tokens.put(tx, params.token, { usesAllowed, expiresAt });
          return known(tokens.get(tx, params.token));
        });
      },
    }),
    route({
      method: 'DELETE',
      path: one,
      auth: 'admin',
      rate: 'none',
      handle: ({ params }) =>
        db.write((tx) => {
          if (!tokens.delete(tx, params.token)) throw unknownToken();
          return {};
        }),
    }),
  ];
}

const unknownToken = () => matrixError.notFound('There is no such registration token');

function known(found: RegistrationToken | undefined): JsonObject {
  if (found === undefined) throw unknownToken();
  return describe(found);
}
