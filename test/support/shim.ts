/**
 * Ways to watch the disk of a process of ours and to have it misbehave (slow, full, broken). The variables that say what
 * it does, SHIM_LOG and the others, are told of in `fsync-shim.c` and `disk-shim.c`.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface DiskShim {
  readonly by: string;
  /** The environment that brings it into a Node process. */
  readonly env: Readonly<Record<string, string>>;
}

/** Compiles a C file of this folder; undefined where there is no Linux or no C compiler. */
function compile(name: string, folder: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const library = join(folder, `${name}.so`);
  const source = join(import.meta.dirname, `${name}.c`);
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  return status === 0 ? library : undefined;
}

/**
 * The ways that work here, the one nearest to the disk first: libraries for LD_PRELOAD, which are made in `folder`, where
 * there is a C compiler; a hook inside of Node everywhere.
 */
export function diskShims(folder: string): readonly [DiskShim, ...DiskShim[]] {
  const hook = pathToFileURL(join(import.meta.dirname, 'disk-hook.ts'));
  const inside: DiskShim = { by: 'a hook of Node', env: { NODE_OPTIONS: `--import=${hook.href}` } };
  const libraries = ['fsync-shim', 'disk-shim'].map((name) => compile(name, folder));
  if (libraries.includes(undefined)) return [inside];
  return [{ by: 'a library under the process', env: { LD_PRELOAD: libraries.join(':') } }, inside];
}
