/**
 * Transactions of other servers (S-S API v1.19 §Transactions): staged in one commit before anything is answered, answered
 * with what became of each event within five seconds, and answered the same when they come again.
 */
import { matrixError } from '../../matrix/errors.ts';
import type { RoomId, ServerName } from '../../matrix/ids.ts';
import {
  asString,
  isJsonObject,
  type JsonObject,
  memberOf,
  parseJson,
  rawElements,
  rawMembers,
} from '../../matrix/json.ts';
import { eventIdOf, type Pdu, type RoomEvent } from '../../matrix/pdu.ts';
import { checkPdu } from '../../matrix/pdu-check.ts';
import { rulesOfVersion, type RoomVersionRules } from '../../matrix/room-versions.ts';
import { aclAllows, type Room } from '../../roomserver/index.ts';
import { KeyedQueue } from '../../util/keyed-queue.ts';
import type { Edu, EduHandler } from '../edus/index.ts';
import { type LaneParts, type Lanes, notInRoom, type Settled } from './lanes.ts';
import { forgetAnswers, recordAnswer, recordedAnswer, stage, stagedCount } from './staging.ts';

const most = { pdus: 50, edus: 100 };
/** "The reply waits" for verdicts this long. */
const answerMs = 5000;
/** Ephemeral data waits for the events of its transaction this long: it often speaks of them. */
const eduMs = 1000;
/** Events of one server that may wait; beyond, its transactions are put off. */
const mostStaged = 2000;
/** Transactions of one server that may wait for each other. */
const mostQueued = 8;
/** For how long answers are repeated. */
const keepAnswersMs = 24 * 3_600_000;
const forgottenAtOnce = 500;

export interface TransactionParts extends LaneParts {
  readonly edus: Pick<EduHandler, 'handle'>;
}

/** What is sent for one event: nothing, or why it was not taken. */
type PduResult = { readonly error?: string };

export interface TransactionAnswer {
  readonly pdus: Readonly<Record<string, PduResult>>;
}

/** A PDU of a transaction as far as it was looked at. */
type Sorted =
  | { readonly kind: 'answered'; readonly eventId: string | undefined; readonly error: string | undefined }
  | { readonly kind: 'outside'; readonly eventId: string | undefined; readonly roomId: string; readonly text: string }
  | {
      readonly kind: 'stage';
      readonly eventId: string | undefined;
      readonly roomId: string;
      readonly text: string;
      /** Undefined where the room is not known yet. */
      readonly known: { readonly room: Room; readonly event: RoomEvent } | undefined;
    };

/** How we and the sender stand to a room. */
interface Standing {
  readonly room: Room | undefined;
  readonly joined: boolean;
  /** Its ACL lets the sender take part. */
  readonly allowed: boolean;
}

interface Staged {
  readonly eventId: string | undefined;
  readonly outcome: Promise<Settled>;
}

export class Transactions {
  readonly #parts: TransactionParts;
  readonly #lanes: Lanes;
  readonly #queue = new KeyedQueue<ServerName>();
  readonly #queued = new Map<ServerName, number>();
  readonly #inWork = new Map<string, Promise<string>>();

  constructor(parts: TransactionParts, lanes: Lanes) {
    this.#parts = parts;
    this.#lanes = lanes;
  }

  /**
   * Takes a transaction; resolves with the JSON text of its answer, at once without further verdicts when `signal` aborts.
   * @throws MatrixError M_BAD_JSON for a body that is no transaction, M_LIMIT_EXCEEDED when too much of the server waits;
   * CommitError when the disk refuses: the transaction must come again
   */
  async receive(origin: ServerName, txnId: string, bodyText: string, signal?: AbortSignal): Promise<string> {
    const name = `${origin} ${txnId}`;
    const known = this.#inWork.get(name);
    if (known !== undefined) return known;
    const answer = this.#parts.db.read((snapshot) => recordedAnswer(snapshot, origin, txnId));
    if (answer !== undefined) return answer;
    const { pdus, edus } = parseTransaction(bodyText);
    const queued = this.#queued.get(origin) ?? 0;
    const staged = this.#parts.db.read((snapshot) => stagedCount(snapshot, origin));
    if (queued >= mostQueued || staged >= mostStaged) throw matrixError.limitExceeded(answerMs);
    this.#queued.set(origin, queued + 1);
    const work = this.#queue
      .run(origin, () => this.#run(origin, txnId, pdus, edus, signal))
      .finally(() => {
        this.#inWork.delete(name);
        const left = (this.#queued.get(origin) ?? 1) - 1;
        if (left > 0) this.#queued.set(origin, left);
        else this.#queued.delete(origin);
      });
    this.#inWork.set(name, work);
    return work;
  }

  /** Forgets answers that nobody will ask for again. */
  async prune(): Promise<void> {
    const before = this.#parts.clock.now() - keepAnswersMs;
    while ((await this.#parts.db.write((tx) => forgetAnswers(tx, before, forgottenAtOnce))) === forgottenAtOnce);
  }

  async #run(
    origin: ServerName,
    txnId: string,
    pdus: readonly string[],
    edus: readonly Edu[],
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { db, clock } = this.#parts;
    const results = new Map<string, PduResult>();
    const note = (eventId: string | undefined, error?: string): void => {
      if (eventId !== undefined) results.set(eventId, error === undefined ? {} : { error });
    };
    const standingOf = this.#standings(origin);
    const sorted = pdus.map((text) => this.#sort(text, standingOf));
    const staged = await this.#stage(origin, sorted);
    for (const item of sorted) {
      if (item.kind === 'answered') note(item.eventId, item.error);
      else if (item.kind === 'outside') {
        const answer = await this.#outside(origin, item);
        note(answer.eventId, answer.error);
      }
    }
    const answered = new AbortController();
    const enough = signal === undefined ? answered.signal : AbortSignal.any([answered.signal, signal]);
    const verdicts = Promise.all(staged.map(async ({ eventId, outcome }) => note(eventId, errorOf(await outcome))));
    for (const { eventId } of staged) note(eventId);
    await Promise.race([verdicts, clock.sleep(eduMs, enough)]);
    const handled = edus.length === 0 ? undefined : this.#parts.edus.handle(origin, edus);
    // Awaited below; until then a failure is nobody's.
    handled?.catch(() => undefined);
    await Promise.race([verdicts, clock.sleep(answerMs - eduMs, enough)]);
    await handled;
    answered.abort();
    const answer = JSON.stringify({ pdus: Object.fromEntries(results) } satisfies TransactionAnswer);
    await db.write((tx) => recordAnswer(tx, origin, txnId, clock.now(), answer));
    return answer;
  }

  /** What is known of rooms in this turn, looked up once. */
  #standings(origin: ServerName): (roomId: string) => Standing {
    const { db, rooms, serverName } = this.#parts;
    const known = new Map<string, Standing>();
    return (roomId) => {
      let standing = known.get(roomId);
      if (standing === undefined) {
        standing = db.read((snapshot) => {
          const room = rooms.room(snapshot, roomId);
          return {
            room,
            joined: room !== undefined && rooms.isServerJoined(snapshot, room.nid, serverName),
            allowed: room === undefined || aclAllows(snapshot, rooms, room, origin),
          };
        });
        known.set(roomId, standing);
      }
      return standing;
    };
  }

  /** What a PDU is about, before anything is stored. */
  #sort(text: string, standingOf: (roomId: string) => Standing): Sorted {
    const { remote } = this.#parts;
    const pdu = parseJson(text);
    const roomId = asString(memberOf(pdu, 'room_id'));
    if (!isJsonObject(pdu) || roomId === undefined) return refused(guessId(pdu), 'it names no room');
    const { room, joined, allowed } = standingOf(roomId);
    if (!joined) {
      const eventId = guessId(pdu, room?.rules);
      return remote.handshakes.isUnderWay(roomId)
        ? { kind: 'stage', eventId, roomId, text, known: undefined }
        : { kind: 'outside', eventId, roomId, text };
    }
    return room === undefined ? refused(undefined, notInRoom) : sortInRoom(room, pdu, text, allowed);
  }

  async #stage(origin: ServerName, sorted: readonly Sorted[]): Promise<Staged[]> {
    const toStage = sorted.filter((item) => item.kind === 'stage');
    if (toStage.length === 0) return [];
    const { db, clock } = this.#parts;
    this.#verifyAhead(toStage.flatMap(({ known }) => known ?? []));
    const staged: Staged[] = [];
    const unit = db.begin((tx) => {
      const now = clock.now();
      for (const { roomId, eventId, text, known } of toStage) {
        // An id that was only guessed must not stand for the event.
        const id = stage(tx, { room: roomId, origin, eventId: known?.event.eventId, body: text }, now);
        tx.afterCommit(() => {
          if (known !== undefined) this.#lanes.keep(id, known.event);
          staged.push({ eventId, outcome: this.#lanes.outcomeOf(id) });
        });
      }
      tx.afterCommit(() => {
        for (const room of new Set(toStage.map(({ roomId }) => roomId))) this.#lanes.wake(room);
      });
    });
    // The record of the answer comes behind it on its way to the disk: nothing is answered before both are there.
    await unit.committed;
    return staged;
  }

  /** Signatures are verified room by room, beside the staging and the judging of others. */
  #verifyAhead(events: readonly { readonly room: Room; readonly event: RoomEvent }[]): void {
    for (const some of Map.groupBy(events, ({ room }) => room.nid).values()) {
      const [first] = some;
      if (first === undefined) continue;
      this.#parts.remote.intake.verifyAhead(
        first.room,
        some.map(({ event }) => event),
      );
    }
  }

  async #outside(
    origin: ServerName,
    { eventId, roomId, text }: Extract<Sorted, { kind: 'outside' }>,
  ): Promise<{ readonly eventId: string | undefined; readonly error: string | undefined }> {
    const answer = await this.#parts.outOfBand?.receive(origin, roomId, text);
    return answer ?? { eventId, error: notInRoom };
  }
}

const refused = (eventId: string | undefined, error: string): Sorted => ({ kind: 'answered', eventId, error });

function sortInRoom(room: Room, pdu: JsonObject, text: string, allowed: boolean): Sorted {
  const checked = checkPdu(text, room.rules, { longKeys: true });
  if (!checked.ok) return refused(guessId(pdu, room.rules), checked.error.message);
  const event = checked.value;
  const { eventId } = event;
  // "ACLs MUST be applied to all PDUs on a per-PDU basis."
  if (!allowed) return refused(eventId, 'the room does not let this server take part');
  if (event.roomId !== room.roomId) return refused(eventId, 'the event belongs to another room');
  return { kind: 'stage', eventId, roomId: event.roomId satisfies RoomId, text, known: { room, event } };
}

/** The id of an event that nobody will look at any more, for the answer: as good as can be told. */
function guessId(pdu: unknown, rules: RoomVersionRules | undefined = rulesOfVersion('10')): string | undefined {
  const named = asString(memberOf(pdu, 'event_id'));
  if (named !== undefined || rules === undefined || !isJsonObject(pdu) || !isJsonObject(pdu.content)) return named;
  try {
    return eventIdOf(pdu as Pdu, { ...rules, strictCanonicalJson: false });
  } catch {
    return undefined;
  }
}

/**
 * "If an event in an incoming transaction is rejected, this should not cause the transaction request to be responded to
 * with an error response": an error says that the event was not taken at all.
 */
const errorOf = (outcome: Settled): string | undefined => (outcome.kind === 'dropped' ? outcome.reason : undefined);

/** @throws M_BAD_JSON */
function parseTransaction(bodyText: string): { readonly pdus: readonly string[]; readonly edus: readonly Edu[] } {
  const members = rawMembers(bodyText);
  const [pdus, edus] = [listOf(members.get('pdus')), listOf(members.get('edus'))];
  if (pdus === undefined || edus === undefined) throw matrixError.badJson('pdus and edus must be lists');
  // "they can have at most 50 PDUs and 100 EDUs."
  if (pdus.length > most.pdus || edus.length > most.edus)
    throw matrixError.badJson(`A transaction holds at most ${most.pdus} PDUs and ${most.edus} EDUs`);
  return { pdus, edus: edus.flatMap(eduOf) };
}

const listOf = (text = '[]'): string[] | undefined => (text.startsWith('[') ? rawElements(text) : undefined);

function eduOf(text: string): Edu[] {
  const edu = parseJson(text);
  const type = asString(memberOf(edu, 'edu_type'));
  const content = memberOf(edu, 'content');
  return type !== undefined && isJsonObject(content) ? [{ type, content }] : [];
}
