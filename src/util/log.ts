/**
 * Logging by pino: one line an event, with a module name and request ids, and without secrets. Callers log ids and
 * counts, never bodies; the redaction here is the net below that rule.
 */
import { pino, type Logger as PinoLogger } from 'pino';
import { codeOf } from './error-text.ts';

/** What modules hold: `log.info({ room }, 'text')`; children carry their module's name. */
export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'> & {
  child(bindings: Record<string, unknown>): Logger;
};

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** `text`: short lines for people; `json`: pino's own lines for machines. */
  readonly format: 'text' | 'json';
  /** Where lines go; default: standard output. */
  readonly write?: (line: string) => void;
}

const secretKeys = [
  'access_token',
  'accessToken',
  'refresh_token',
  'token',
  'password',
  'new_password',
  'secret',
  'authorization',
  'body',
  'content',
];
const secretPaths = [...secretKeys, ...secretKeys.map((key) => `*.${key}`), 'headers', '*.headers'];

/** Makes the root logger. */
export function createLogger(options: LogOptions): Logger {
  const write = options.write ?? ((line: string) => void process.stdout.write(line));
  const format = options.format === 'text' ? (line: string) => write(toText(line)) : write;
  return pino(
    {
      level: options.level,
      base: null,
      redact: { paths: secretPaths, censor: '[hidden]' },
      serializers: { err: describeError },
    },
    { write: format },
  ) as Logger;
}

/** Only what an error says of itself: other properties may hold what a user sent. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = codeOf(error);
  const cause = error.cause instanceof Error ? { cause: describeError(error.cause) } : {};
  return {
    type: error.name,
    message: withoutTokens(error.message),
    ...(code === undefined ? {} : { code }),
    stack: withoutTokens(error.stack ?? ''),
    ...cause,
  };
}

/** URLs in messages of libraries keep their path and lose their tokens. */
export const withoutTokens = (text: string): string =>
  text.replaceAll(/(access_token=|Bearer +)[^&\s"']+/gi, '$1[hidden]');

const levelNames: Record<number, string> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** `12:00:01.234 INFO  http: the server listens address=127.0.0.1` */
function toText(line: string): string {
  const { level, time, module, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(Number(time)).toISOString().slice(11, 23);
  const name = (levelNames[Number(level)] ?? String(level)).padEnd(5);
  const values = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const head = [
    clock,
    name,
    typeof module === 'string' ? `${module}: ${String(msg ?? '')}` : String(msg ?? ''),
    ...values,
  ];
  return `${head.join(' ')}\n${errorText(err)}`;
}

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { stack, message, cause } = error as { stack?: unknown; message?: unknown; cause?: unknown };
  const text = String(stack ?? message ?? '').replaceAll('\n', '\n  ');
  return `  ${text}\n${cause === undefined ? '' : `  caused by:\n${errorText(cause)}`}`;
}
