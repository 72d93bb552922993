#!/usr/bin/env node
// Starts Neurite. On a Node that is too old it gets a right one by npm and goes on with that; so this file keeps to syntax
// that old versions understand.
import { spawn, spawnSync } from 'child_process';
import { constants } from 'os';
import { fileURLToPath } from 'url';
import { setFlagsFromString } from 'v8';

const version = process.versions.node.split('.').map(Number);
const isRecent = version[0] > 24 || (version[0] === 24 && version[1] >= 7);

/** Path of a Node 24 that npm fetches on first use and keeps; undefined when npm cannot. */
const fetchNode = () => {
  const npm =
    process.env.npm_execpath && process.env.npm_execpath.endsWith('.js') ? process.env.npm_execpath : undefined;
  const args = ['exec', '--yes', '--package=node@24', '--', 'node', '--print', 'process.execPath'];
  const found = spawnSync(npm ? process.execPath : 'npm', npm ? [npm].concat(args) : args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: !npm && process.platform === 'win32',
  });
  const lines = found.status === 0 ? found.stdout.trim().split('\n') : [];
  return lines.length > 0 ? lines[lines.length - 1].trim() : undefined;
};

/** Hands over to another Node: output, signals and end. */
const become = (node) => {
  const child = spawn(node, [fileURLToPath(import.meta.url)].concat(process.argv.slice(2)), {
    stdio: 'inherit',
    env: Object.assign({}, process.env, { NEURITE_NODE_FETCHED: '1' }),
  });
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach((signal) => process.on(signal, () => child.kill(signal)));
  child.on('error', (error) => {
    console.error(`neurite: ${node} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code === null ? 128 + constants.signals[signal] : code));
};

const fail = () => {
  console.error(
    'neurite: this needs Node 24.7 or newer and npm could not fetch it; install it from https://nodejs.org.',
  );
  process.exit(1);
};

if (isRecent) {
  // What starting leaves behind is no reason for a large young generation (src/util/garbage.ts takes it back).
  setFlagsFromString('--semi-space-growth-factor=1');
  import('../dist/cli.js').catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/dist.cli\.js/.test(error.message)) throw error;
    console.error('neurite: this copy is not built yet; run `npm start`, or `npm ci && npm run build` once.');
    process.exit(1);
  });
} else if (process.env.NEURITE_NODE_FETCHED) {
  fail();
} else {
  console.error(
    `neurite: Node ${process.versions.node} is too old; going on with Node 24, which npm fetches if need be.`,
  );
  const node = fetchNode();
  if (node === undefined) fail();
  else become(node);
}
