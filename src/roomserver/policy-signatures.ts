/**
 * Signatures of policy servers (S-S API v1.19 §Policy Servers): "*all* servers in that room MUST ask that Policy Server for
 * a signature before sending an event". An event of our own is built inside a transaction, where nobody can be asked: the
 * unit is thrown back, the signature is fetched, and the unit runs again and finds the event as it was built before.
 */
import { canonicalJson } from '../matrix/canonical-json.ts';
import { matrixError, type MatrixError } from '../matrix/errors.ts';
import type { ServerName } from '../matrix/ids.ts';
import { type JsonObject, memberOf } from '../matrix/json.ts';
import { canonicalOptions, type Pdu, type RoomEvent } from '../matrix/pdu.ts';
import { isPolicySignature, needsNoPolicy, type Policy, policyIn, policyKeyId, policyType } from '../matrix/policy.ts';
import { withSignature } from '../matrix/signing.ts';
import { NotReady, type Snapshot } from '../storage/index.ts';
import { decodeBase64 } from '../util/bytes.ts';
import { LruCache } from '../util/lru.ts';
import { err, ok, type Result } from '../util/result.ts';
import { currentEventNid, type Stores } from './stores.ts';
import type { Room } from './types.ts';

/** Asks a policy server to sign an event (JSON text of the PDU): signatures by signer and key id, or why not. */
export type AskPolicy = (server: ServerName, pdu: string) => Promise<Result<JsonObject, MatrixError>>;

/** An event of our own that is being asked about. */
interface Draft {
  /** ms; the event is built with the same time again. */
  readonly originServerTs: number;
  answer: Result<string, MatrixError> | undefined;
}

export class PolicySignatures {
  readonly #stores: Stores;
  readonly #drafts = new LruCache<string, Draft>({ max: 1000 });
  #ask: AskPolicy | undefined;

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  /** How policy servers are asked; until it is told, nobody is. */
  askBy(ask: AskPolicy): void {
    this.#ask = ask;
  }

  /** The policy server that the room uses by its current state. */
  of(snapshot: Snapshot, room: Room): Policy | undefined {
    const nid = currentEventNid(this.#stores, snapshot, room.nid, policyType, '');
    const policy = nid === 0 ? undefined : policyIn(this.#stores.events.parsed(snapshot, nid, room.rules).content);
    // "at least one joined user in the room in *current state*"; ourselves we cannot ask.
    if (policy === undefined || policy.via === this.#stores.serverName) return undefined;
    return this.#stores.members.servers.isJoined(snapshot, room.nid, policy.via) ? policy : undefined;
  }

  /** The event with the policy server's signature, or why it is not recommended. */
  async obtain(room: Room, policy: Policy, event: RoomEvent): Promise<Result<RoomEvent, MatrixError>> {
    const signature = await this.#request(room, policy, event);
    return signature.ok ? ok(countersigned(event, policy, signature.value)) : signature;
  }

  /** When an event of ours that was thrown back was built; undefined: it is new. */
  timeOf(draft: string): number | undefined {
    return this.#drafts.get(draft)?.originServerTs;
  }

  /**
   * An event of our own as it may be sent.
   * @param draft names what the event is built from
   * @throws NotReady until the policy server has answered; MatrixError with its refusal
   */
  countersign(room: Room, policy: Policy, draft: string, event: RoomEvent): RoomEvent {
    if (needsNoPolicy(event) || this.#ask === undefined) return event;
    const known = this.#drafts.get(draft);
    if (known?.answer === undefined) {
      const asked: Draft = known ?? { originServerTs: event.originServerTs, answer: undefined };
      this.#drafts.set(draft, asked);
      throw new NotReady(async () => {
        asked.answer ??= await this.#request(room, policy, event);
      });
    }
    this.#drafts.delete(draft);
    const { answer } = known;
    if (!answer.ok) throw answer.error;
    return countersigned(event, policy, answer.value);
  }

  /** The signature as unpadded base64. */
  async #request(room: Room, policy: Policy, event: RoomEvent): Promise<Result<string, MatrixError>> {
    if (this.#ask === undefined) return err(matrixError.connectionFailed());
    const answer = await this.#ask(policy.via, canonicalJson(event.pdu, canonicalOptions(room.rules)));
    if (!answer.ok) return answer;
    const signature = memberOf(memberOf(answer.value, policy.via), policyKeyId);
    return typeof signature === 'string' && isPolicySignature(event, room.rules, policy, signature)
      ? ok(signature)
      : err(matrixError.forbidden('The policy server of the room does not recommend the event'));
  }
}

/** "Policy Server signature MUST NOT overwrite" others: it stands beside them. */
const countersigned = (event: RoomEvent, { via }: Policy, signature: string): RoomEvent => ({
  ...event,
  pdu: withSignature(event.pdu, via, policyKeyId, decodeBase64(signature) ?? new Uint8Array()) as unknown as Pdu,
});
