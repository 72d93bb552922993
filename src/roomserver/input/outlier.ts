/** The way of an outlier: judged by its own auth events alone, stored without a place in the graph. */
import type { Tx } from '../../storage/index.ts';
import type { Verdict } from '../core.ts';
import { redactionsOf } from '../storage/annotations.ts';
import { annotateOthers, applyRedactions } from './annotate.ts';
import { checkByAuthEvents } from './checks.ts';
import { findAuth } from './edges.ts';
import type { Job, PipelineTools } from './job.ts';
import { endKnown } from './known.ts';
import { storeEvent } from './store.ts';

/** Judges and stores an outlier. */
export function runOutlier(tx: Tx, job: Job, tools: PipelineTools): Verdict {
  const recorded = endKnown(tx, job, tools);
  if (recorded !== undefined) return recorded;
  const lacking = findAuth(tx, job, tools);
  if (lacking !== undefined) return lacking;
  checkByAuthEvents(tx, job, tools);
  storeEvent(tx, job, tools);
  const { event, room, nid, failure } = job;
  annotateOthers(tx, job, tools);
  if (redactionsOf(tx, event.eventId).length > 0) applyRedactions(tools.stores, tx, room, nid, tools.now());
  for (const entry of job.entries) tools.append(tx, entry);
  return failure === undefined ? { kind: 'accepted', nid } : { kind: 'rejected', nid, reason: failure.reason };
}
