/**
 * Tells users by mail of what they have not read: some time after the first unread message, all of them in one mail, and
 * the next mail later the longer they read nothing.
 */
import type { Config } from '../config/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { contentOf, type StoredEvent } from '../roomserver/index.ts';
import type { Database, Snapshot } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import { messageOf } from '../util/error-text.ts';
import type { Logger } from '../util/log.ts';
import { MailRefused, type Mailer } from '../util/mailer.ts';
import type { JsonValue } from '../matrix/json.ts';
import type { Step, Teller } from './delivery.ts';
import { mailWords, type MailMessage, type MailRoom } from './mail-text.ts';
import { toldOf, type NotificationParts, type Told, type View } from './notification.ts';
import {
  deletePusher,
  deleteQueueUpTo,
  selectQueue,
  updateMailed,
  type PusherRow,
  type QueueRow,
} from './pusher-storage.ts';
import { ownsAddress, unsubscribeToken } from './pushers.ts';

export interface MailTellerOptions extends NotificationParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined: the operator has set no mail server (any more). */
  readonly mailer: Mailer | undefined;
  readonly config: Config['push'];
  readonly serverName: string;
  /** Where clients reach this server, for the link that ends the mails. */
  readonly baseUrl: string;
  readonly emailsOf: (snapshot: Snapshot, user: UserId) => readonly string[];
}

interface Unread {
  readonly row: QueueRow;
  readonly told: Told;
}

interface Plan {
  readonly upTo: number;
  /** None: nothing of it is unread. */
  readonly unread: readonly Unread[];
  readonly isOwn: boolean;
}

/** Rows that one mail may tell of; those behind them come with the next. */
const batch = 500;
const maxRooms = 10;
const maxMessages = 10;
const longestPauseMs = 86_400_000;

export class MailTeller implements Teller {
  readonly #options: MailTellerOptions;

  constructor(options: MailTellerOptions) {
    this.#options = options;
  }

  async step(pusher: PusherRow): Promise<Step> {
    const { db, mailer } = this.#options;
    const plan = db.read((snapshot) => this.#plan({ snapshot, head: db.head }, pusher));
    if (plan === undefined) return { kind: 'idle' };
    if (!plan.isOwn) {
      // The address was removed from the account after the pusher was set.
      await db.write((tx) => void tx.run(deletePusher, pusher.id));
      return { kind: 'idle' };
    }
    const [first] = plan.unread;
    if (first === undefined || mailer === undefined) {
      await db.write((tx) => void tx.run(deleteQueueUpTo, pusher.id, plan.upTo));
      return { kind: 'skipped' };
    }
    const now = this.#options.clock.now();
    const due = this.#dueAt(pusher, first.row.queued_at);
    if (due > now) return { kind: 'early', ms: due - now };
    await db.flushed();
    return this.#send(mailer, pusher, plan);
  }

  #dueAt({ mailed_at: mailedAt, mail_pause: pause }: PusherRow, queuedAt: number): number {
    return Math.max(queuedAt + this.#options.config.mail.delay, mailedAt + pause);
  }

  #plan(view: View, { id, user_id: user, pushkey }: PusherRow): Plan | undefined {
    const rows = view.snapshot.all(selectQueue, id, batch);
    const last = rows.at(-1);
    if (last === undefined) return undefined;
    const unread = rows.flatMap((row): Unread[] => {
      const told = row.event_nid === 0 ? undefined : toldOf(this.#options, view, user, row);
      return told === undefined ? [] : [{ row, told }];
    });
    const isOwn = ownsAddress(this.#options.emailsOf(view.snapshot, user), pushkey);
    return { upTo: last.position, unread, isOwn };
  }

  async #send(mailer: Mailer, pusher: PusherRow, { upTo, unread }: Plan): Promise<Step> {
    const { db, clock, log, config } = this.#options;
    try {
      await mailer.send(this.#mail(pusher, upTo, unread));
    } catch (error) {
      if (!(error instanceof MailRefused) || !error.permanent) {
        return { kind: 'failed', reason: messageOf(error), pauseMs: 0 };
      }
      log.warn({ pusher: pusher.id, err: error }, 'the mail server will not take a mail about unread messages');
    }
    const pause = Math.min(longestPauseMs, Math.max(config.mail.interval, pusher.mail_pause * 2));
    await db.write((tx) => {
      tx.run(deleteQueueUpTo, pusher.id, upTo);
      tx.run(updateMailed, clock.now(), pause, pusher.id);
    });
    return { kind: 'sent' };
  }

  #mail(pusher: PusherRow, upTo: number, unread: readonly Unread[]): Parameters<Mailer['send']>[0] {
    const { serverName, baseUrl } = this.#options;
    const byRoom = new Map<string, Unread[]>();
    for (const one of unread) byRoom.set(one.told.roomId, [...(byRoom.get(one.told.roomId) ?? []), one]);
    const rooms = [...byRoom.values()].slice(0, maxRooms).map(mailRoom);
    const unsubscribe = `${baseUrl}/_neurite/push/unsubscribe?token=${unsubscribeToken(pusher)}`;
    return {
      to: pusher.pushkey,
      ...mailWords({ serverName, user: pusher.user_id, rooms, more: byRoom.size - rooms.length, unsubscribe }),
      messageId: `<push.${pusher.id}.${upTo}@${serverName.replaceAll(/[[\]:]/g, '.')}>`,
      headers: {
        'List-Unsubscribe': `<${unsubscribe}>`,
        // RFC 8058: mail programs may end the mails themselves, by a POST.
        'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
      },
    };
  }
}

function mailRoom(unread: readonly Unread[]): MailRoom {
  const [first] = unread;
  const { roomId = '', names, event } = first?.told ?? {};
  const messages = unread
    .slice(0, maxMessages)
    .map(({ told }) => mailMessage(told.event, told.names.of(told.event.sender)));
  return {
    name: names?.name ?? roomId,
    link: `https://matrix.to/#/${encodeURIComponent(roomId)}/${encodeURIComponent(event?.eventId ?? '')}`,
    messages,
    more: unread.length - messages.length,
  };
}

const mailMessage = (event: StoredEvent, name: string | undefined): MailMessage => ({
  sender: name ?? event.sender,
  type: event.type,
  content: contentOf(event) as JsonValue | undefined,
  at: event.originServerTs,
});
