/** One HTTP request to a service (identity server, captcha, single sign-on) with limits on time and size. */
import type { Dispatcher } from 'undici';
import { textUpTo } from './bounded.ts';
import { undici } from './lazy.ts';
import { untilAborted } from './until-aborted.ts';

export interface AskOptions {
  readonly method?: 'GET' | 'POST' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Default: connections without a guard, for hosts that the operator named. */
  readonly dispatcher?: Dispatcher | undefined;
  /** For the whole exchange. */
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** The service could not be asked; the cause says why, for the log only. */
export class AskFailed extends Error {
  override readonly name = 'AskFailed';
}

/** Bytes; such answers are small. */
const maxAnswer = 1024 * 1024;

/** Asks and reads the whole answer, whatever its status; redirects are not followed. @throws AskFailed */
export async function ask(url: string | URL, options: AskOptions): Promise<Answer> {
  const { method = 'GET', headers = {}, body, dispatcher, timeoutMs } = options;
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const asked = undici().request(url, {
      ...{ method, headers, signal },
      ...(body === undefined ? {} : { body }),
      ...(dispatcher === undefined ? {} : { dispatcher }),
    });
    const response = await untilAborted(asked, signal);
    // A body that is given up says so by an event, which would end the process if nobody listened.
    response.body.on('error', () => undefined);
    const text = await textUpTo(response.body as AsyncIterable<Buffer>, maxAnswer);
    return { status: response.statusCode, text };
  } catch (error) {
    throw new AskFailed('the service could not be asked', { cause: error });
  }
}
