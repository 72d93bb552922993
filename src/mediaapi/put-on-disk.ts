/** Makes what was written to a file, or which names a folder holds, outlast a power cut. */
import { open } from 'node:fs/promises';

/** @param flags `r` for a folder; a file must be opened for writing on some systems */
export async function putOnDisk(path: string, flags: 'r' | 'r+'): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
