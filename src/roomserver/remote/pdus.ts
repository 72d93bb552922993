/**
 * Receipt checks 1 to 3 (S-S API v1.19 §Checks performed on receipt of a PDU) for events that came from another server,
 * whatever brought them: format, signatures, hashes. What passes is a RoomEvent that the pipeline can judge; what fails
 * fails alone.
 */
import type { FedClient, SignatureVerdict } from '../../fedclient/index.ts';
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
  /** Of events that were handed in ahead: the verdicts of their list, and the place in it. */
  readonly #ahead = new WeakMap<
    RoomEvent,
    { readonly verdicts: Promise<SignatureVerdict[]>; readonly place: number }
  >();

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

  /** Begins with check 2 for events that `verify` is about to be given: these very objects. */
  verifyAhead(events: readonly RoomEvent[], rules: RoomVersionRules): void {
    if (events.length === 0) return;
    const verdicts = this.#verifyEvents(events, rules);
    // Whoever asks for them gets the failure too.
    verdicts.catch(() => undefined);
    for (const [place, event] of events.entries()) this.#ahead.set(event, { verdicts, place });
  }

  isAhead(event: RoomEvent): boolean {
    return this.#ahead.has(event);
  }

  /** Checks 2 and 3 for events whose format was checked. */
  async verify(candidates: readonly RoomEvent[], rules: RoomVersionRules): Promise<CheckedPdus> {
    const failed: FailedPdu[] = [];
    const slice = new Slice();
    const verdicts = await this.#signatures(candidates, rules);
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

  async #signatures(
    events: readonly RoomEvent[],
    rules: RoomVersionRules,
  ): Promise<readonly (SignatureVerdict | undefined)[]> {
    const rest = events.filter((event) => !this.#ahead.has(event));
    const fresh = rest.length === 0 ? [] : await this.#verifyEvents(rest, rules);
    const freshOf = new Map(rest.map((event, index) => [event, fresh[index]]));
    const verdicts: (SignatureVerdict | undefined)[] = [];
    for (const event of events) {
      const ahead = this.#ahead.get(event);
      verdicts.push(ahead === undefined ? freshOf.get(event) : (await ahead.verdicts)[ahead.place]);
    }
    return verdicts;
  }
}
