/** SIGKILL in the middle of uploads: what was answered with 200 is there whole, and nothing else is left on disk. */
import { afterAll, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { picture } from '../support/media.ts';
import { repository, startServerProcess, temporaryFolder } from '../support/server-process.ts';

const rounds = Number(process.env['NEURITE_KILLS'] ?? 3);
const data = temporaryFolder();
afterAll(() => rmSync(data, { recursive: true, force: true }));

interface Stored {
  readonly uri: string;
  readonly bytes: Buffer;
}

async function register(baseUrl: string): Promise<string> {
  const response = await fetch(`${baseUrl}/_matrix/client/v3/register`, {
    method: 'POST',
    body: JSON.stringify({ username: 'alice', password: 'a password for tests', auth: { type: 'm.login.dummy' } }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

async function upload(baseUrl: string, token: string, bytes: Buffer): Promise<Stored | undefined> {
  const response = await fetch(`${baseUrl}/_matrix/media/v3/upload`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'image/png' },
    body: new Uint8Array(bytes),
  }).catch(() => undefined);
  if (response?.ok !== true) return undefined;
  const body = (await response.json().catch(() => undefined)) as { content_uri: string } | undefined;
  return body === undefined ? undefined : { uri: body.content_uri, bytes };
}

test('an upload survives SIGKILL or leaves nothing', async () => {
  const pictures = await Promise.all([100, 200, 300].map((side) => picture(side, side)));
  const stored: Stored[] = [];
  let token: string | undefined;
  for (let round = 0; round < rounds; round += 1) {
    const server = await startServerProcess({ data });
    token ??= await register(server.baseUrl);
    const secret = token;
    let dead = false;
    const writers = [0, 1, 2, 3].map(async (writer) => {
      for (let count = 0; !dead; count += 1) {
        const bytes = writer === 0 ? pictures[count % 3] : randomBytes(1 + ((count * 77_777) % 1_500_000));
        const done = await upload(server.baseUrl, secret, bytes ?? Buffer.alloc(1));
        if (done !== undefined) stored.push(done);
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 300 + round * 170));
    dead = true;
    await server.kill();
    await Promise.all(writers);
  }
  expect(stored.length).toBeGreaterThan(10);
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(repository, 'src/cli.ts'),
    'verify',
    '--data',
    data,
    '--set',
    'registration.mode=open',
  ]);
  expect(stdout).toContain('No difference found.');
  const server = await startServerProcess({ data });
  const known = new Set<string>();
  for (const { uri, bytes } of stored) {
    const response = await fetch(`${server.baseUrl}/_matrix/client/v1/media/download/${uri.slice(6)}`, {
      headers: { Authorization: `Bearer ${token ?? ''}` },
    });
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
    known.add(response.headers.get('etag') ?? '');
  }
  await server.stop();
  expect(readdirSync(join(data, 'media/incoming'))).toEqual([]);
  const files = readdirSync(join(data, 'media/content'), { recursive: true, withFileTypes: true });
  // An upload whose answer the kill cut off may have been stored; each writer had one under way.
  expect(files.filter((entry) => entry.isFile()).length).toBeLessThanOrEqual(known.size + 4 * rounds);
}, 120_000);
