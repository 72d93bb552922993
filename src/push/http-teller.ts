/** Tells push gateways: the oldest row of a pusher's queue that is still worth telling, else the counts. */
import type { Config } from '../config/index.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { countsText } from './badges.ts';
import type { Step, Teller } from './delivery.ts';
import type { Gateway, GatewayAnswer } from './gateway.ts';
import { composeNotification, toldOf, type Composed, type NotificationParts, type View } from './notification.ts';
import {
  deletePusher,
  deleteQueueBeyond,
  deleteQueueUpTo,
  selectQueue,
  updateCounts,
  type PusherRow,
  type QueueRow,
} from './pusher-storage.ts';
import { dataOf } from './pushers.ts';

export interface HttpTellerOptions extends NotificationParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly gateway: Gateway;
  readonly config: Pick<Config['push'], 'retry'>;
}

interface Plan {
  /** Rows up to here are done with it. */
  readonly upTo: number;
  readonly send?: Composed & { readonly queuedAt: number };
}

/** Rows looked at in one turn. */
const batch = 100;
/** Rows that a failing gateway leaves waiting; the oldest go first. */
export const maxWaiting = 1000;

export class HttpTeller implements Teller {
  readonly #options: HttpTellerOptions;

  constructor(options: HttpTellerOptions) {
    this.#options = options;
  }

  async step(pusher: PusherRow, signal: AbortSignal): Promise<Step> {
    const { db, gateway } = this.#options;
    const plan = db.read((snapshot) => this.#plan({ snapshot, head: db.head }, pusher));
    if (plan === undefined) return { kind: 'idle' };
    const { upTo, send } = plan;
    if (send === undefined) {
      await db.write((tx) => void tx.run(deleteQueueUpTo, pusher.id, upTo));
      return { kind: 'skipped' };
    }
    // Nobody is told of what a power cut could take back.
    await db.flushed();
    const answer = await gateway.notify(String(dataOf(pusher)['url']), send.body, signal);
    if (answer.kind === 'refused') return this.#refused(pusher, upTo, send.queuedAt, answer);
    await db.write((tx) => {
      if (answer.rejected.includes(pusher.pushkey)) return void tx.run(deletePusher, pusher.id);
      tx.run(deleteQueueUpTo, pusher.id, upTo);
      tx.run(updateCounts, send.counts, pusher.id);
    });
    return { kind: 'sent' };
  }

  #plan(view: View, pusher: PusherRow): Plan | undefined {
    const { badges } = this.#options;
    const rows = view.snapshot.all(selectQueue, pusher.id, batch);
    for (const row of rows) {
      const told = row.event_nid === 0 ? undefined : toldOf(this.#options, view, pusher.user_id, row);
      if (told === undefined) continue;
      return planOf(row, composeNotification(this.#options, view, pusher, row, told));
    }
    const last = rows.at(-1);
    if (last === undefined) return undefined;
    const beforeLast = rows.length === batch ? rows.at(-2) : undefined;
    // The last one stays until it is known that none behind it tells the counts.
    if (beforeLast !== undefined) return { upTo: beforeLast.position };
    const counts = countsText(badges.of(view.snapshot, view.head, pusher.user_id));
    if (counts === pusher.counts) return { upTo: last.position };
    return planOf(last, composeNotification(this.#options, view, pusher, last, undefined));
  }

  async #refused(
    { id }: PusherRow,
    upTo: number,
    queuedAt: number,
    { reason, pauseMs }: Extract<GatewayAnswer, { kind: 'refused' }>,
  ): Promise<Step> {
    const { db, clock, config } = this.#options;
    const isOld = clock.now() - queuedAt > config.retry.giveUp;
    const waiting = db.read((snapshot) => snapshot.all(selectQueue, id, maxWaiting + 1).length);
    if (isOld || waiting > maxWaiting) {
      await db.write((tx) => {
        if (isOld) tx.run(deleteQueueUpTo, id, upTo);
        tx.run(deleteQueueBeyond, id, id, maxWaiting - 1);
      });
    }
    return { kind: 'failed', reason, pauseMs: Math.min(pauseMs, config.retry.longest) };
  }
}

const planOf = (row: QueueRow, composed: Composed): Plan => ({
  upTo: row.position,
  send: { ...composed, queuedAt: row.queued_at },
});
