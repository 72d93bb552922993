/** What the database counts, as the metrics endpoint reads it. */
import type { Measure } from '../util/metrics.ts';
import type { Checkpointer } from './checkpoint.ts';
import type { Durability } from './durability.ts';

export interface Counters {
  commits: number;
  units: number;
  failedUnits: number;
  failedCommits: number;
  /** Since it was last read. */
  largestGroup: number;
}

const counter = (name: string, help: string, read: () => number): Measure => ({ name, help, kind: 'counter', read });
const gauge = (name: string, help: string, read: () => number): Measure => ({ name, help, kind: 'gauge', read });

export const databaseMeasures = (
  database: { readonly queued: number; readonly head: number },
  counters: Counters,
  durability: Durability,
  checkpointer: Checkpointer,
): readonly Measure[] => [
  counter('neurite_commits_total', 'Group commits', () => counters.commits),
  counter(
    'neurite_commit_units_total',
    'Units of work committed; by commits: the mean group size',
    () => counters.units,
  ),
  counter('neurite_failed_units_total', 'Units of work rolled back alone', () => counters.failedUnits),
  counter('neurite_failed_commits_total', 'Group commits that failed', () => counters.failedCommits),
  gauge('neurite_commit_group_max', 'Units in the largest group since the last look', () => {
    const largest = counters.largestGroup;
    counters.largestGroup = 0;
    return largest;
  }),
  counter('neurite_fsyncs_total', 'fdatasync calls on the WAL', () => durability.syncs.count),
  counter('neurite_fsync_seconds_total', 'Time that they took', () => durability.syncs.ms / 1000),
  counter('neurite_checkpoints_total', 'Checkpoints that emptied the WAL', () => checkpointer.completed),
  counter(
    'neurite_write_hold_seconds_total',
    'Time that writes were held for checkpoints',
    () => checkpointer.heldMs / 1000,
  ),
  gauge('neurite_wal_bytes', 'Size of the WAL file', () => durability.walBytes),
  gauge('neurite_write_queue', 'Units of work waiting for their commit', () => database.queued),
  gauge('neurite_position', 'The highest Position given out', () => database.head),
];
