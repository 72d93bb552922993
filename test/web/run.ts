/**
 * A built web client in headless Chromium against this server, `npm run test:web`. `NEURITE_WEB_CLIENT` names the folder of
 * a built Cinny (https://github.com/cinnyapp/cinny, `npm ci && npm run build`, its `dist`). Chromium is looked for on the
 * path or named by `NEURITE_CHROMIUM`; playwright-core, which steers it, is installed under test/results. Where one of
 * these is not to be had, it says so and ends with exit code 0 and the word "skipped". A picture of each step is left in
 * test/results/web.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { basename, delimiter, extname, join, normalize } from 'node:path';
import { repository, startServerProcess } from '../support/server-process.ts';
import { scenario, type Browser } from './scenario.ts';

function skipped(why: string): never {
  process.stdout.write(`skipped: ${why}\n`);
  process.exit(0);
}

const dist = process.env['NEURITE_WEB_CLIENT'] ?? '';
if (!existsSync(join(dist, 'index.html'))) {
  skipped('NEURITE_WEB_CLIENT does not name the folder of a built Cinny (with index.html)');
}
const onPath = ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) =>
  (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name)),
);
const chromium = process.env['NEURITE_CHROMIUM'] ?? onPath.find((file) => existsSync(file));
if (chromium === undefined) skipped('Chromium is not installed');

const tools = join(repository, 'test/results/web-tools');
if (!existsSync(join(tools, 'node_modules/playwright-core'))) {
  mkdirSync(tools, { recursive: true });
  const { status } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--prefix', tools, 'playwright-core@1'], {
    stdio: 'inherit',
  });
  if (status !== 0) skipped('playwright-core cannot be installed from the package index');
}

const types: Readonly<Record<string, string>> = {
  ...{ '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' },
  ...{ '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2' },
};

/** Serves the client as its documentation says: what is no file is its first page. */
async function serveClient(homeserver: string): Promise<{ readonly url: string; readonly server: Server }> {
  const config = { defaultHomeserver: 0, homeserverList: [homeserver], allowCustomHomeservers: true };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://client').pathname);
    const named = join(dist, path.endsWith('.wasm') ? basename(path) : normalize(path));
    const isFile = statSync(named, { throwIfNoEntry: false })?.isFile() === true;
    const file = isFile ? named : join(dist, 'index.html');
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
    response.end(path === '/config.json' ? JSON.stringify(config) : readFileSync(file));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, server };
}

const pictures = join(repository, 'test/results/web');
rmSync(pictures, { recursive: true, force: true });
mkdirSync(pictures, { recursive: true });
const playwright = createRequire(join(tools, 'package.json'))('playwright-core') as {
  readonly chromium: { launch(options: object): Promise<Browser> };
};
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'];
const homeserver = await startServerProcess();
const client = await serveClient(homeserver.baseUrl);
const browser = await playwright.chromium.launch({ executablePath: chromium, headless: true, args });
let status = 0;
try {
  await scenario({ browser, client: client.url, homeserver: homeserver.baseUrl, pictures });
} catch (error) {
  process.stdout.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  status = 1;
}
await browser.close();
client.server.close();
await homeserver.stop();
process.exit(status);
