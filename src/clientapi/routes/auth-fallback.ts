/**
 * Pages by which a browser completes a stage of User-Interactive Authentication for a client that does not know it
 * (C-S API v1.19 §User-Interactive Authentication API, Fallback).
 */
import * as v from 'valibot';
import { route, type Reply, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { isJsonObject, memberOf, type JsonValue } from '../../matrix/json.ts';
import type { Cas, Uia } from '../../userapi/index.ts';
import { escapeHtml, page, readForm } from './html.ts';
import { doneScript } from './sso.ts';

export interface AuthFallbackParts {
  readonly uia: Uia;
  readonly cas: Cas | undefined;
}

const path = '/_matrix/client/v3/auth/:stage/fallback/web';
const query = v.object({ session: v.string() });
export function authFallbackRoutes({ uia, cas }: AuthFallbackParts): Route[] {
  return [
    route({
      method: 'GET',
      path,
      auth: 'none',
      rate: 'login',
      query,
      handle: ({ params: { stage }, query: { session } }) => {
        const pending = uia.pending(session, stage);
        if (pending === undefined) throw matrixError.notFound('This session asks for nothing of that kind');
        if (stage === 'm.login.sso' && cas !== undefined) return signOnPage(cas.loginUrl({ session }));
        return formPage(stage, pending.params);
      },
    }),
    route({
      method: 'POST',
      path,
      auth: 'none',
      rate: 'login',
      query,
      handle: async ({ params: { stage }, query: { session }, stream }) => {
        const pending = uia.pending(session, stage);
        if (pending === undefined) throw matrixError.notFound('This session asks for nothing of that kind');
        const fields = Object.fromEntries(await readForm(stream));
        if (await uia.complete(session, stage, fields))
          return page('<p>Done. You may close this window.</p>', { script: doneScript });
        return formPage(stage, pending.params, '<p>That was not right. Please try again.</p>', 401);
      },
    }),
  ];
}

/** "The homeserver SHOULD confirm that the user is happy for the operation to go ahead." */
const signOnPage = (url: string): Reply =>
  page(
    '<p>An app wants to change something about your account. Confirm it by signing on again. If you did not expect ' +
      'this, close this window: somebody else may be using your account.</p>' +
      `<p><a href="${escapeHtml(url)}">Sign on</a></p>`,
  );

const captchaOrigins = 'https://www.google.com https://www.gstatic.com https://www.recaptcha.net';

function formPage(stage: string, params: JsonValue | undefined, before = '', status = 200): Reply {
  const foreign = stage === 'm.login.recaptcha' ? captchaOrigins : '';
  return page(before + formOf(stage, params), { status, foreign });
}

function formOf(stage: string, params: JsonValue | undefined): string {
  const form = (inside: string, button: string): string =>
    `<form method="post">${inside}<button type="submit">${button}</button></form>`;
  if (stage === 'm.login.terms') return form(`<p>Please read and accept:</p><ul>${termLinks(params)}</ul>`, 'Accept');
  if (stage === 'm.login.registration_token') {
    return form('<label>Registration token <input name="token" required autocomplete="off"></label> ', 'Continue');
  }
  if (stage === 'm.login.recaptcha') {
    const key = memberOf(params, 'public_key');
    const widget = `<div class="g-recaptcha" data-sitekey="${escapeHtml(typeof key === 'string' ? key : '')}"></div>`;
    return `<script src="https://www.google.com/recaptcha/api.js" async defer></script>${form(widget, 'Continue')}`;
  }
  return stage === 'm.login.password'
    ? form(
        '<label>User <input name="user" required></label> ' +
          '<label>Password <input name="password" type="password" required></label> ',
        'Continue',
      )
    : form('', 'Continue');
}

/** The documents of `m.login.terms`, in the first language that each has. */
function termLinks(params: JsonValue | undefined): string {
  const policies = memberOf(params, 'policies');
  if (!isJsonObject(policies)) return '';
  return Object.values(policies)
    .flatMap((policy) => (isJsonObject(policy) ? Object.values(policy).filter(isJsonObject).slice(0, 1) : []))
    .map(
      ({ name, url }) =>
        `<li><a href="${escapeHtml(String(url))}" target="_blank">${escapeHtml(String(name))}</a></li>`,
    )
    .join('');
}
