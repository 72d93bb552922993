/** Compiles a C file of this folder to a library for LD_PRELOAD. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Path of the library made in `folder`, or undefined where there is no Linux or no C compiler. */
export function compileShim(name: string, folder: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const library = join(folder, `${name}.so`);
  const source = join(import.meta.dirname, `${name}.c`);
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  return status === 0 ? library : undefined;
}
