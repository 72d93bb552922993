/**
 * The way of an event into the room, as ordered lists of phases: the long one for events made elsewhere, the short one
 * for our own, which were authorised while they were made. All of it happens inside one transaction.
 */
import type { Tx } from '../../storage/index.ts';
import type { Verdict } from '../core.ts';
import { flag } from '../storage/event-rows.ts';
import { announce } from './announce.ts';
import { annotate, annotateOthers } from './annotate.ts';
import { checkByAuthEvents, checkByCurrentState, checkByStateBefore, checkRecommended } from './checks.ts';
import { giveUpPartial, moveState } from './current.ts';
import { findAuth, findEdges } from './edges.ts';
import { moveExtremities, moveOwnExtremities } from './extremities.ts';
import type { Job, Phase, PipelineTools } from './job.ts';
import { endKnown } from './known.ts';
import { rejudgeCiting } from './rejudge.ts';
import { findStateBefore } from './state-before.ts';
import { storeEdges, storeEvent, storeOwnEdges } from './store.ts';

const received: readonly Phase[] = [
  endKnown,
  findAuth,
  findEdges,
  findStateBefore,
  checkByAuthEvents,
  checkByStateBefore,
  checkByCurrentState,
  checkRecommended,
  storeEvent,
  storeEdges,
  rejudgeCiting,
  annotate,
  moveExtremities,
  moveState,
  announce,
  giveUpPartial,
];

const own: readonly Phase[] = [
  storeEvent,
  storeOwnEdges,
  annotateOthers,
  moveOwnExtremities,
  moveState,
  announce,
  giveUpPartial,
];

function run(phases: readonly Phase[], tx: Tx, job: Job, tools: PipelineTools): Verdict {
  for (const phase of phases) {
    const verdict = phase(tx, job, tools);
    if (verdict !== undefined) return verdict;
  }
  const { nid, failure } = job;
  if (failure === undefined) return { kind: 'accepted', nid };
  return { kind: failure.flag === flag.rejected ? 'rejected' : 'soft-failed', nid, reason: failure.reason };
}

/** Judges and stores an event made elsewhere. */
export const runReceived = (tx: Tx, job: Job, tools: PipelineTools): Verdict => run(received, tx, job, tools);

/** Stores an event of our own; `auth`, `prev` and `before` are set. */
export const runOwn = (tx: Tx, job: Job, tools: PipelineTools): Verdict => run(own, tx, job, tools);
