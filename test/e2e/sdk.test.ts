import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { repository, startServerProcess, type ServerProcess } from '../support/server-process.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServerProcess();
}, 40_000);
afterAll(async () => {
  await server.stop();
});

/** What the scenario must have gone through, in this order. */
const steps = [
  'register and start alice',
  'register and start bob',
  'cross-sign alice',
  'cross-sign bob',
  "alice's second device logs in",
  'alice verifies her second device by SAS',
  'alice creates an encrypted room, bob joins',
  'alice and bob verify each other by SAS',
  'encrypted messages in both directions reach every device',
  'the rooms in common are asked for',
  'keys are backed up and restored on a new device',
  'a public room with many messages',
  'edit, react, thread, redact',
  'a new device of bob paginates to the start of the room',
  'receipts, typing and unread counts',
  'upgrade a room',
  'bob logs out and in again',
];

test('matrix-js-sdk with its Rust crypto spends a day on the server', async () => {
  const child = spawn(process.execPath, [join(repository, 'test/sdk/scenario.mjs'), server.baseUrl], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  await once(child, 'close');
  const done = output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { step: string }).step);
  expect({ done, errors: child.exitCode === 0 ? '' : errors }).toEqual({ done: steps, errors: '' });
  expect(child.exitCode).toBe(0);
}, 180_000);
