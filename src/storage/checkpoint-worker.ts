/** The thread that checkpoints: one connection of its own, one passive pass for each message. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../util/error-text.ts';
import { Connection } from './connection.ts';

/** What a pass found and did, in frames of the WAL. */
export interface Pass {
  readonly log: number;
  readonly checkpointed: number;
}

export type PassAnswer = Pass | { readonly error: string };

const connection = new Connection((workerData as { readonly path: string }).path, { cacheKib: 256 });
connection.raw.pragma('synchronous = NORMAL');
connection.raw.pragma('wal_autocheckpoint = 0');

parentPort?.on('message', (message: 'pass' | 'end') => {
  if (message === 'end') {
    connection.close();
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(pass());
});

function pass(): PassAnswer {
  try {
    const [row] = connection.raw.pragma('wal_checkpoint(PASSIVE)') as { log: number; checkpointed: number }[];
    return { log: row?.log ?? 0, checkpointed: row?.checkpointed ?? 0 };
  } catch (error) {
    return { error: messageOf(error) };
  }
}
