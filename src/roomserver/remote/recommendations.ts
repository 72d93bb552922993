/**
 * Check 7 (S-S API v1.19 §Validating Policy Server signatures) for events of others: "If the Policy Server's signature is
 * invalid or missing, the homeserver SHOULD ask for a new signature"; without one an event is soft-failed.
 */
import type { FedClient, FederationFault } from '../../fedclient/index.ts';
import { matrixError, MatrixError } from '../../matrix/errors.ts';
import type { EventId } from '../../matrix/ids.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { isRecommended, needsNoPolicy } from '../../matrix/policy.ts';
import { err } from '../../util/result.ts';
import type { AskPolicy } from '../policy-signatures.ts';
import type { Room } from '../types.ts';
import { type FetchParts, isInGraph } from './parts.ts';

/** Requests to a policy server at a time. */
const parallel = 8;
/** It is asked for this long for one batch. */
const askingMs = 30_000;

/** Asks over federation; a refusal is told "verbatim". */
export const policyAsker =
  (api: FedClient['api']): AskPolicy =>
  async (server, pdu) => {
    const answer = await api.policySign(server, pdu);
    return answer.ok ? answer : err(errorOf(answer.error));
  };

const errorOf = (fault: FederationFault): MatrixError =>
  fault.kind === 'http'
    ? new MatrixError(fault.status, fault.errcode, fault.message)
    : matrixError.connectionFailed('The policy server of the room does not answer');

export class Recommendations {
  readonly #parts: Pick<FetchParts, 'db' | 'rooms' | 'clock'>;

  constructor(parts: Pick<FetchParts, 'db' | 'rooms' | 'clock'>) {
    this.#parts = parts;
  }

  /** The events, with the signatures that they lacked, and why some are not recommended. */
  async of(
    room: Room,
    events: readonly RoomEvent[],
  ): Promise<{ readonly events: readonly RoomEvent[]; readonly refused: ReadonlyMap<EventId, string> }> {
    const { db, rooms, clock } = this.#parts;
    const { policies } = rooms.tools;
    const refused = new Map<EventId, string>();
    const policy = db.read((snapshot) => policies.of(snapshot, room));
    if (policy === undefined) return { events, refused };
    const isOld = db.read((snapshot) => events.map(({ eventId }) => isInGraph(rooms.stores, snapshot, eventId)));
    const result = [...events];
    const waiting = [...events.entries()].filter(
      ([index, event]) => isOld[index] !== true && !needsNoPolicy(event) && !isRecommended(event, room.rules, policy),
    );
    const end = clock.now() + askingMs;
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, event] = next;
        const answer = clock.now() < end ? await policies.obtain(room, policy, event) : tooLate;
        if (answer.ok) result[index] = answer.value;
        else refused.set(event.eventId, `the policy server does not recommend it: ${answer.error.message}`);
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, waiting.length) }, work));
    return { events: result, refused };
  }
}

const tooLate = err(matrixError.connectionFailed('the policy server does not answer'));
