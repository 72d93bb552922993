/** The captcha of registration (C-S API v1.19 §Google ReCaptcha): asks the captcha service about the client's answer. */
import type { Config } from '../config/index.ts';
import { matrixError, type MatrixError } from '../matrix/errors.ts';
import { memberOf, parseJson, type JsonObject } from '../matrix/json.ts';
import { ask, AskFailed } from '../util/ask.ts';
import { err, ok, type Result } from '../util/result.ts';

const timeoutMs = 10_000;

/** Whether `auth.response` (or what the service's own form calls it) solves the captcha. @throws M_UNKNOWN without the service */
export async function checkCaptcha(
  config: Config['recaptcha'],
  auth: JsonObject,
): Promise<Result<Record<string, never>, MatrixError>> {
  const response = auth.response ?? auth['g-recaptcha-response'];
  if (typeof response !== 'string' || response === '') return err(matrixError.captchaNeeded());
  if (config.privateKey === undefined) return err(matrixError.captchaInvalid());
  const body = new URLSearchParams({ secret: config.privateKey, response }).toString();
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  try {
    const { status, text } = await ask(config.verifyUrl, { method: 'POST', headers, body, timeoutMs });
    const isSolved = status === 200 && memberOf(parseJson(text), 'success') === true;
    return isSolved ? ok({}) : err(matrixError.captchaInvalid());
  } catch (error) {
    if (error instanceof AskFailed) throw Object.assign(matrixError.connectionFailed(), { cause: error });
    throw error;
  }
}
