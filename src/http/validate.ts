/** Checks parameters, query and body against a row's schemas; a fault names the place and never repeats the value. */
import { safeParse, type BaseIssue, type GenericSchema } from 'valibot';
import { matrixError, type MatrixError } from '../matrix/errors.ts';

export type Part = 'path' | 'query' | 'body';

/** @throws MatrixError M_MISSING_PARAM, M_INVALID_PARAM (path, query) or M_BAD_JSON (body) */
export function validate(schema: GenericSchema | undefined, value: unknown, part: Part): unknown {
  if (schema === undefined) return value;
  const result = safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw faultOf(result.issues[0], part);
}

function faultOf(issue: BaseIssue<unknown>, part: Part): MatrixError {
  const keys = issue.path?.map(({ key }) => String(key)) ?? [];
  const place = keys.length === 0 ? `the ${part}` : `${part === 'body' ? '' : `${part} parameter `}${keys.join('.')}`;
  // Top level only: what is missing deeper down makes its parent malformed.
  if (keys.length === 1 && issue.received === 'undefined' && issue.input === undefined) {
    return matrixError.missingParam(`Missing: ${place}`);
  }
  const words = issue.message.includes('eceived') ? defaultWords(issue) : issue.message;
  const message = `Invalid value of ${place}: ${words}`;
  return part === 'body' ? matrixError.badJson(message) : matrixError.invalidParam(message);
}

/** The library's own messages repeat what was received, which may be a password. */
const defaultWords = ({ expected }: BaseIssue<unknown>): string =>
  expected === null ? 'it is not acceptable' : `expected ${expected}`;
