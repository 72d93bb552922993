/**
 * Receipt checks 1 to 3 (S-S API v1.19 §Checks performed on receipt of a PDU) for events that came from another server,
 * whatever brought them: format, signatures, hashes. What passes is a RoomEvent that the pipeline can judge; what fails
 * fails alone.
 */
import type { FedClient } from '../../fedclient/index.ts';
import type { EventId, RoomId } from '../../matrix/ids.ts';
import { hasValidContentHash, redactEvent, type RoomEvent } from '../../matrix/pdu.ts';
import { checkPdu, type PduCheckOptions } from '../../matrix/pdu-check.ts';
import type { RoomVersionRules } from '../../matrix/room-versions.ts';
import { Slice } from '../../util/slice.ts';

export interface FailedPdu {
  /** Undefined where the text is too broken to have one. */
  readonly eventId: string | undefined;
  readonly reason: string;
  /** A key could not be had: another time the event may pass. */
  readonly transient: boolean;
}

export interface CheckedPdus {
  /** In the order given, each once. */
  readonly events: readonly RoomEvent[];
  readonly failed: readonly FailedPdu[];
}

export interface CheckWish extends PduCheckOptions {
  /** Events of any other room fail. */
  readonly roomId?: RoomId;
  /** Events that need no look (they are stored): they come out neither here nor there. */
  readonly isKnown?: (eventId: EventId) => boolean;
}

export class PduChecker {
  readonly #verifyEvents: FedClient['verifyEvents'];

  constructor({ verifyEvents }: Pick<FedClient, 'verifyEvents'>) {
    this.#verifyEvents = verifyEvents;
  }

  /** Checks raw PDUs of one room version. "If the hash does not match, the event is redacted before it is processed further." */
  async check(texts: readonly string[], rules: RoomVersionRules, wish: CheckWish = {}): Promise<CheckedPdus> {
    const failed: FailedPdu[] = [];
    const parsed = new Map<string, RoomEvent>();
    const slice = new Slice();
    for (const text of texts) {
      const checked = checkPdu(text, rules, { ...wish, longKeys: true });
      if (!checked.ok) failed.push({ eventId: undefined, reason: checked.error.message, transient: false });
      else if (wish.roomId !== undefined && checked.value.roomId !== wish.roomId)
        failed.push({ eventId: checked.value.eventId, reason: 'the event belongs to another room', transient: false });
      else if (wish.isKnown?.(checked.value.eventId) !== true) parsed.set(checked.value.eventId, checked.value);
      await slice.tick();
    }
    const verified = await this.verify([...parsed.values()], rules);
    return { events: verified.events, failed: [...failed, ...verified.failed] };
  }

  /** Checks 2 and 3 for events whose format was checked. */
  async verify(candidates: readonly RoomEvent[], rules: RoomVersionRules): Promise<CheckedPdus> {
    const failed: FailedPdu[] = [];
    const slice = new Slice();
    const verdicts = await this.#verifyEvents(candidates, rules);
    const events: RoomEvent[] = [];
    for (const [index, event] of candidates.entries()) {
      const verdict = verdicts[index];
      if (verdict?.ok === true) events.push(hasValidContentHash(event.pdu, rules) ? event : redactEvent(event, rules));
      else
        failed.push({ eventId: event.eventId, reason: verdict?.reason ?? '', transient: verdict?.transient ?? true });
      await slice.tick();
    }
    return { events, failed };
  }
}
