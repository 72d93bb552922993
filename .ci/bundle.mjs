// Makes dist from src: a few files in place of some hundreds, because each module that Node loads costs the start of the
// server time, and its whole life memory. Packages stay outside; what is imported on first use is loaded then.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

// The server, and the programs that it starts beside itself (src/util/package-files.ts).
const programs = ['cli', 'storage/checkpoint-worker', 'mediaapi/image-process'];

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: programs.map((program) => `src/${program}.ts`),
  outbase: 'src',
  outdir: dist,
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  tsconfig: 'tsconfig.json',
  logLevel: 'warning',
  write: false,
});

// V8 keeps a text in two bytes a character for a single one beyond Latin-1. Such characters stand in strings, templates and
// patterns only, where an escape means the same.
const plain = (text) =>
  text.replace(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

rmSync(dist, { recursive: true, force: true });
for (const { path, text } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, plain(text));
}
