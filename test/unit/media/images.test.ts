import { afterEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Images } from '../../../src/mediaapi/images.ts';
import { createLogger } from '../../../src/util/log.ts';
import { picture } from '../../support/media.ts';

const folder = mkdtempSync(join(tmpdir(), 'neurite-test-'));
const log = createLogger({ level: 'silent', format: 'json' });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the image process', () => {
  test('is started by the first image, and one that takes too long is ended with it', async () => {
    const input = join(folder, 'image');
    writeFileSync(input, await picture(2000, 2000));
    const box = { width: 800, height: 600, method: 'scale', animated: false } as const;
    const output = { path: join(folder, 'thumbnail'), box };
    await using hasty = new Images({ log, jobLimitMs: 20 });
    expect(hasty.pid).toBeUndefined();
    const job = { input, maxPixels: 1e8, outputs: Array.from({ length: 50 }, () => output) };
    expect(await hasty.run(job)).toEqual({ ok: false, reason: 'broken' });
    expect(hasty.pid).toBeUndefined();
    await using images = new Images({ log });
    const result = await images.run({ ...job, outputs: [output] });
    expect(result).toEqual({
      ok: true,
      info: { width: 2000, height: 2000, frames: 1 },
      made: [{ contentType: 'image/png', size: statSync(output.path).size }],
    });
    expect(images.pid).toBeDefined();
  });

  test('goes with its parent, also when that is killed', async () => {
    const program = `
      import { Images } from ${JSON.stringify(join(import.meta.dirname, '../../../src/mediaapi/images.ts'))};
      const images = new Images({ log: { warn() {}, error() {} } });
      await images.run({ input: '/dev/null', maxPixels: 1, outputs: [] });
      console.log(images.pid);
      process.kill(process.pid, 'SIGKILL');`;
    let pid = 0;
    try {
      execFileSync(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
    } catch (error) {
      pid = Number(String((error as { stdout: Buffer }).stdout));
    }
    expect(pid).toBeGreaterThan(1);
    const lives = (): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    while (lives()) await new Promise((resolve) => setImmediate(resolve));
  });
});
