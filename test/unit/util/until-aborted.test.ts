import { describe, expect, test } from '@jest/globals';
import { Dispatcher } from 'undici';
import { ask, AskFailed } from '../../../src/util/ask.ts';
import { untilAborted } from '../../../src/util/until-aborted.ts';

describe('waiting until a signal', () => {
  test('gives what the work gives', async () => {
    const { signal } = new AbortController();
    await expect(untilAborted(Promise.resolve(1), signal)).resolves.toBe(1);
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
  });

  test('ends with the signal, before or after its begin', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(new Promise(() => undefined), controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(untilAborted(new Promise(() => undefined), controller.signal)).rejects.toThrow('enough');
  });
});

/** Takes requests and never does anything with them, as connections that are never made. */
class Silence extends Dispatcher {
  override dispatch(): boolean {
    return true;
  }
}

test('a service that no connection is made to is not waited for longer than the time it has', async () => {
  await expect(ask('https://service.example/', { dispatcher: new Silence(), timeoutMs: 20 })).rejects.toThrow(
    AskFailed,
  );
});
