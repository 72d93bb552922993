/**
 * Proving an e-mail address (C-S API v1.19 `…/email/requestToken`): the mails, and the pages that their links open.
 * Phone numbers are not proven here.
 */
import * as v from 'valibot';
import { route, type RateLimiter, type Reply, type Route } from '../../http/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { isJsonObject, parseJson } from '../../matrix/json.ts';
import type { Database } from '../../storage/index.ts';
import {
  submitPath,
  type EmailValidations,
  type Purpose,
  type Threepids,
  type ValidationKey,
} from '../../userapi/index.ts';
import { maybe } from './body.ts';
import { escapeHtml, page, readText, redirect } from './html.ts';

export interface EmailTokenRouteParts {
  readonly db: Database;
  readonly limiter: RateLimiter;
  readonly threepids: Threepids;
  readonly validations: EmailValidations;
  readonly registrationMode: 'open' | 'token' | 'closed';
}

const v3 = '/_matrix/client/v3';
const emailBody = v.object({
  client_secret: v.string(),
  email: v.string(),
  send_attempt: v.pipe(v.number(), v.integer()),
  next_link: maybe(v.string()),
});
const phoneBody = v.object({ client_secret: v.string(), phone_number: v.string(), country: v.string() });
const linkQuery = v.object({ sid: v.string(), client_secret: v.string(), token: v.string() });

const places: readonly { readonly path: string; readonly purpose: Purpose }[] = [
  { path: `${v3}/register`, purpose: 'register' },
  { path: `${v3}/account/password`, purpose: 'password' },
  { path: `${v3}/account/3pid`, purpose: 'add' },
];

export const emailTokenRoutes = (parts: EmailTokenRouteParts): Route[] => [
  ...places.flatMap(({ path, purpose }) => [
    route({
      method: 'POST',
      path: `${path}/email/requestToken`,
      auth: 'none',
      rate: 'login',
      body: emailBody,
      handle: ({ body }) => requestToken(parts, purpose, body),
    }),
    route({
      method: 'POST',
      path: `${path}/msisdn/requestToken`,
      auth: 'none',
      rate: 'login',
      body: phoneBody,
      handle: () => {
        throw matrixError.threepidMediumNotSupported('This server does not write to phones');
      },
    }),
  ]),
  ...linkRoutes(parts),
];

async function requestToken(
  { db, limiter, threepids, validations, registrationMode }: EmailTokenRouteParts,
  purpose: Purpose,
  body: v.InferOutput<typeof emailBody>,
): Promise<{ readonly sid: string }> {
  const { email, client_secret: clientSecret, send_attempt: sendAttempt, next_link: nextLink } = body;
  if (!validations.isPossible) throw matrixError.threepidMediumNotSupported('This server sends no e-mail');
  if (purpose === 'register' && registrationMode === 'closed') {
    throw matrixError.threepidDenied('Registration is closed on this server');
  }
  // Nobody's mailbox is filled from here, by however many addresses.
  limiter.demand('login', `email:${email.toLowerCase()}`);
  const isTaken = db.read((snapshot) => threepids.isTaken(snapshot, { medium: 'email', address: email }));
  if (purpose === 'password' && !isTaken) throw matrixError.threepidNotFound();
  if (purpose !== 'password' && isTaken) throw matrixError.threepidInUse();
  return { sid: await validations.request({ purpose, email, clientSecret, sendAttempt, nextLink }) };
}

/**
 * The link of a mail. Mail programs open links on their own: one that ends in a new password asks for a click, and the
 * others prove nothing but what the mail's arrival proves.
 */
const linkRoutes = ({ validations }: EmailTokenRouteParts): Route[] => [
  route({
    method: 'GET',
    path: submitPath,
    auth: 'none',
    rate: 'login',
    query: linkQuery,
    handle: ({ query: { sid, client_secret: clientSecret, token } }) =>
      shownTo(async () => {
        const key = { sid, clientSecret };
        if (validations.inspect(key, token) !== 'password') return proven(await validations.submit(key, token));
        const hidden = Object.entries({ sid, client_secret: clientSecret, token })
          .map(([name, value]) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`)
          .join('');
        return page(
          '<p>Somebody, hopefully you, has asked for a new password. If it was not you, close this window.</p>' +
            `<form method="post" action="${submitPath}">${hidden}<button type="submit">It was me</button></form>`,
        );
      }),
  }),
  route({
    method: 'POST',
    path: submitPath,
    auth: 'none',
    rate: 'login',
    handle: async ({ stream }) => {
      const text = await readText(stream);
      const json = parseJson(text);
      if (isJsonObject(json)) {
        const { key, token } = readLink((name) => json[name]);
        await validations.submit(key, token);
        return { success: true };
      }
      const form = new URLSearchParams(text);
      return shownTo(async () => {
        const { key, token } = readLink((name) => form.get(name));
        return proven(await validations.submit(key, token));
      });
    },
  }),
];

/** @throws M_INVALID_PARAM */
function readLink(get: (name: string) => unknown): { key: ValidationKey; token: string } {
  const sid = get('sid');
  const clientSecret = get('client_secret');
  const token = get('token');
  if (typeof sid !== 'string' || typeof clientSecret !== 'string' || typeof token !== 'string') {
    throw matrixError.invalidParam('sid, client_secret and token are needed');
  }
  return { key: { sid, clientSecret }, token };
}

const proven = (nextLink: string | undefined): Reply =>
  nextLink === undefined
    ? page('<p>Your e-mail address is confirmed. Go back to where you came from and continue there.</p>')
    : redirect(nextLink);

/** What goes wrong is told in words: a person looks at it. */
async function shownTo(work: () => Promise<Reply>): Promise<Reply> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page(`<p>This did not work: ${escapeHtml(error.message)}.</p>`, { status: error.status });
  }
}
