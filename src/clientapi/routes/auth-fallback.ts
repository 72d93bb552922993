/**
 * Pages by which a browser completes a stage of User-Interactive Authentication for a client that does not know it
 * (C-S API v1.19 §User-Interactive Authentication API, Fallback).
 */
import * as v from 'valibot';
import { Reply, route, type RequestContext, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { isJsonObject, memberOf, type JsonValue } from '../../matrix/json.ts';
import type { Uia } from '../../userapi/index.ts';

export interface AuthFallbackParts {
  readonly uia: Uia;
}

const path = '/_matrix/client/v3/auth/:stage/fallback/web';
const query = v.object({ session: v.string() });
/** Bytes of a filled-in form. */
const maxForm = 8192;

/** "This page must use the following JavaScript when the authentication has been completed". */
const doneScript = `if (window.onAuthDone) {
  window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
  window.opener.postMessage("authDone", "*");
}`;

export function authFallbackRoutes({ uia }: AuthFallbackParts): Route[] {
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
        return page(formOf(stage, pending.params));
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
          return page('<p>Done. You may close this window.</p>', doneScript);
        return page(`<p>That was not right. Please try again.</p>${formOf(stage, pending.params)}`, undefined, 401);
      },
    }),
  ];
}

/** @throws M_TOO_LARGE */
async function readForm(stream: RequestContext<'none', unknown, unknown, unknown>['stream']): Promise<URLSearchParams> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stream) {
    size += piece.length;
    if (size > maxForm) throw matrixError.tooLarge();
    pieces.push(piece);
  }
  return new URLSearchParams(Buffer.concat(pieces).toString('utf8'));
}

const escapeHtml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

function formOf(stage: string, params: JsonValue | undefined): string {
  const form = (inside: string, button: string): string =>
    `<form method="post">${inside}<button type="submit">${button}</button></form>`;
  if (stage === 'm.login.terms') return form(`<p>Please read and accept:</p><ul>${termLinks(params)}</ul>`, 'Accept');
  if (stage === 'm.login.registration_token') {
    return form('<label>Registration token <input name="token" required autocomplete="off"></label> ', 'Continue');
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

function page(body: string, script?: string, status = 200): Reply {
  const html =
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Authentication</title>' +
    `<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>${body}` +
    `${script === undefined ? '' : `<script>${script}</script>`}</body></html>`;
  return new Reply(status, Buffer.from(html), {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': "default-src 'none'; script-src 'unsafe-inline'; form-action 'self'",
    'X-Frame-Options': 'DENY',
  });
}
