import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callControl, serveControl } from '../../../src/control.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'neurite-control-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const commands = {
  echo: (params: unknown) => Promise.resolve(params),
  count: (params: unknown, print: (line: string) => void) => {
    for (let line = 1; line <= Number(params); line++) print(`line ${line}`);
    return Promise.resolve(undefined);
  },
  refuse: () => Promise.reject(new Error('That name is taken.')),
  hang: () => new Promise<never>(() => undefined),
};
const call = async (dir: string, command: string, params?: unknown) => {
  const lines: string[] = [];
  const answer = await callControl(dir, command, params, (line) => lines.push(line));
  return { answer, lines };
};

describe('the control socket', () => {
  test('carries results, printed lines and refusals', async () => {
    const served = await serveControl(folder, commands);
    expect((await call(folder, 'echo', { name: 'al\nice' })).answer).toEqual({ ok: true, value: { name: 'al\nice' } });
    expect(await call(folder, 'count', 3)).toEqual({
      answer: { ok: true, value: null },
      lines: ['line 1', 'line 2', 'line 3'],
    });
    expect((await call(folder, 'refuse')).answer).toEqual({ ok: false, error: 'That name is taken.' });
    expect((await call(folder, 'toString')).answer).toMatchObject({ ok: false });
    await served.close();
  });

  test('may be opened by its owner only', async () => {
    const served = await serveControl(folder, commands);
    expect(statSync(join(folder, 'control.sock')).mode & 0o777).toBe(0o600);
    await served.close();
  });

  test('takes over from a dead server and tells when there is none', async () => {
    await (await serveControl(folder, commands)).close();
    expect((await call(folder, 'echo')).answer).toMatchObject({
      ok: false,
      error: expect.stringContaining('cannot be reached'),
    });
    const again = await serveControl(folder, commands);
    expect((await call(folder, 'echo', 1)).answer).toEqual({ ok: true, value: 1 });
    await again.close();
  });

  test('closes though a call is open, and tells the caller', async () => {
    const served = await serveControl(folder, { ...commands, stop: () => served.close() });
    const hanging = call(folder, 'hang');
    await call(folder, 'stop');
    expect((await hanging).answer).toMatchObject({ ok: false });
  });

  test('works for a folder whose path is too long for a socket', async () => {
    const deep = join(folder, 'x'.repeat(120));
    mkdirSync(deep);
    const served = await serveControl(deep, commands);
    expect((await call(deep, 'echo', 2)).answer).toEqual({ ok: true, value: 2 });
    await served.close();
  });
});
