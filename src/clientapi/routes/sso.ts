/**
 * Single sign-on (C-S API v1.19 §SSO client login/authentication): the way to the CAS server and back, for logging in and
 * for User-Interactive Authentication. The provider tells who the user is; the client gets a token that lives shortly.
 */
import * as v from 'valibot';
import { route, type Reply, type Route } from '../../http/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { Database } from '../../storage/index.ts';
import { type Accounts, type Cas, type Registration, type Sessions, type Uia } from '../../userapi/index.ts';
import { escapeHtml, page, redirect } from './html.ts';

export interface SsoRouteParts {
  readonly db: Database;
  readonly cas: Cas | undefined;
  readonly createsAccounts: boolean;
  readonly accounts: Accounts;
  readonly registration: Registration;
  readonly sessions: Sessions;
  readonly uia: Uia;
}

const v3 = '/_matrix/client/v3';
const redirectQuery = v.object({ redirectUrl: v.string() });
const ticketQuery = v.object({
  ticket: v.string(),
  redirectUrl: v.optional(v.string()),
  session: v.optional(v.string()),
});
/** ms; a browser that goes straight on needs no more ("around five seconds"). */
const straightLifetime = 5000;
/** ms; a person reads a page and clicks. */
const askedLifetime = 60_000;

/** What {@link page} runs when a stage is done ("This page must use the following JavaScript"). */
export const doneScript = `if (window.onAuthDone) {
  window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
  window.opener.postMessage("authDone", "*");
}`;

export function ssoRoutes(parts: SsoRouteParts): Route[] {
  const { cas } = parts;
  const start = (redirectUrl: string, idpId?: string): Reply => {
    if (cas === undefined) throw matrixError.notFound('This server has no single sign-on');
    if (idpId !== undefined && idpId !== cas.provider.id) throw matrixError.notFound('There is no such provider');
    return redirect(cas.loginUrl({ redirectUrl: checkedRedirect(redirectUrl) }));
  };
  return [
    route({
      method: 'GET',
      path: `${v3}/login/sso/redirect`,
      aliases: [`${v3}/login/cas/redirect`, '/_matrix/client/r0/login/cas/redirect'],
      auth: 'none',
      rate: 'none',
      query: redirectQuery,
      handle: ({ query }) => start(query.redirectUrl),
    }),
    route({
      method: 'GET',
      path: `${v3}/login/sso/redirect/:idpId`,
      auth: 'none',
      rate: 'none',
      query: redirectQuery,
      handle: ({ query, params }) => start(query.redirectUrl, params.idpId),
    }),
    route({
      method: 'GET',
      path: `${v3}/login/cas/ticket`,
      auth: 'none',
      rate: 'login',
      query: ticketQuery,
      handle: ({ query }) => {
        if (cas === undefined) throw matrixError.notFound('This server has no single sign-on');
        return comeBack(parts, cas, query);
      },
    }),
  ];
}

/** An address that a browser can be sent to with a token: a web page or an app, never a script. @throws M_INVALID_PARAM */
function checkedRedirect(text: string): string {
  const isHarmless =
    URL.canParse(text) && !/^(?:javascript|data|vbscript|blob|file|about):$/.test(new URL(text).protocol);
  if (!isHarmless) throw matrixError.invalidParam('redirectUrl is not an address that can be gone back to');
  return text;
}

async function comeBack(
  parts: SsoRouteParts,
  cas: Cas,
  { ticket, redirectUrl, session }: v.InferOutput<typeof ticketQuery>,
): Promise<Reply> {
  try {
    if (session !== undefined) {
      const userId = await cas.userOf(ticket, { session });
      if (!parts.uia.settle(session, 'm.login.sso', { userId })) throw matrixError.notFound('This session has ended');
      return page('<p>Done. You may close this window.</p>', { script: doneScript });
    }
    if (redirectUrl === undefined) throw matrixError.missingParam('Missing: redirectUrl');
    const target = checkedRedirect(redirectUrl);
    const userId = await cas.userOf(ticket, { redirectUrl });
    return await giveToken(parts, cas, userId, target);
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    return page(`<p>This did not work: ${escapeHtml(error.message)}.</p>`, { status: error.status });
  }
}

async function giveToken(parts: SsoRouteParts, cas: Cas, userId: UserId, redirectUrl: string): Promise<Reply> {
  const { db, accounts, registration, sessions, createsAccounts } = parts;
  if (createsAccounts) await registration.ensureUser(userId);
  const account = db.read((snapshot) => accounts.get(snapshot, userId));
  if (account === undefined) throw matrixError.forbidden('You have no account on this server');
  if (account.deactivated) throw matrixError.userDeactivated();
  const isTrusted = cas.isTrusted(redirectUrl);
  const url = new URL(redirectUrl);
  url.searchParams.delete('loginToken');
  const token = await sessions.issueLoginToken(userId, isTrusted ? straightLifetime : askedLifetime);
  url.searchParams.set('loginToken', token);
  if (isTrusted) return redirect(url.href);
  // "Homeservers SHOULD confirm with the user that they are happy to grant access".
  const place = url.host === '' ? url.protocol : url.host;
  return page(
    `<p><strong>${escapeHtml(place)}</strong> wants to use your account ${escapeHtml(userId)}.</p>` +
      `<p><a href="${escapeHtml(url.href)}">Continue</a></p><p>Close this window if you do not know that address.</p>`,
  );
}
