/**
 * Receipt check 2 (S-S API v1.19 §Validating hashes and signatures on received events): whether an event is signed by
 * those who must have signed it. Keys are fetched for all events together, signatures verified off the event loop.
 */
import { verifyBatch, type SignatureCheck } from '../matrix/crypto/ed25519.ts';
import { parseServerName, serverNameOf, type ServerName, type UserId } from '../matrix/ids.ts';
import { asString, memberOf } from '../matrix/json.ts';
import { signedPduText, type RoomEvent } from '../matrix/pdu.ts';
import type { RoomVersionRules } from '../matrix/room-versions.ts';
import { signatureCheck, signedBy, type SignatureEntry } from '../matrix/signing.ts';
import { utf8Bytes } from '../util/bytes.ts';
import { Slice } from '../util/slice.ts';
import type { KeyAnswer, KeyRing } from './keyring.ts';

export type SignatureVerdict =
  | { readonly ok: true }
  /** `transient`: a key could not be asked for; another time the verdict may be another. */
  | { readonly ok: false; readonly reason: string; readonly transient: boolean };

/** Who must have signed an event, each with what it has of their signatures. */
interface Demand {
  readonly signer: string;
  readonly entries: readonly SignatureEntry[];
}

/** Of one signer; keys beyond are an attempt to make us work. */
const mostKeysPerSigner = 4;
const mostThirdPartySigners = 3;
/** Events whose texts are in memory at a time. */
const chunk = 200;
/** Never published: "the policy server key … should be skipped at this stage". */
const policyKeyId = 'ed25519:policy_server';
const good: SignatureVerdict = { ok: true };

const isThirdPartyInvite = ({ type, content }: RoomEvent): boolean =>
  type === 'm.room.member' && content.membership === 'invite' && content.third_party_invite !== undefined;

/** Servers that must have signed; undefined in the list: an id without a server. */
function signersOf(event: RoomEvent, rules: RoomVersionRules): (string | undefined)[] {
  const signers = [serverNameOf(event.sender)] as (string | undefined)[];
  // "Room versions 1 and 2 also require that a signature is present from the domain in the `event_id`".
  if (rules.eventIdServerSigns) signers.push(serverNameOf(event.eventId));
  const via = memberOf(event.content, 'join_authorised_via_users_server');
  // Room version 8: "the resident server which owns the provided user ID must have a valid signature on the event".
  if (
    rules.restrictedJoin &&
    event.type === 'm.room.member' &&
    event.content.membership === 'join' &&
    via !== undefined
  )
    signers.push(serverNameOf((asString(via) ?? '') as UserId));
  return [...new Set(signers)];
}

function demandsOf(event: RoomEvent, rules: RoomVersionRules): Demand[] | undefined {
  const entriesOf = (signer: string): Demand => ({
    signer,
    entries: signedBy(event.pdu, signer)
      .filter(({ keyId }) => keyId !== policyKeyId)
      .slice(0, mostKeysPerSigner),
  });
  const demands = signersOf(event, rules).map((signer) => (signer === undefined ? undefined : entriesOf(signer)));
  const present = demands.filter((demand) => demand !== undefined && demand.entries.length > 0) as Demand[];
  if (present.length === demands.length) return present;
  // "the server which actually sends the event may be a different server": whoever has signed such an invite will do.
  if (!isThirdPartyInvite(event)) return undefined;
  const others = [...new Set(signedBy(event.pdu).map(({ signer }) => signer))];
  const some = [...new Set([...present.map(({ signer }) => signer), ...others])].slice(0, mostThirdPartySigners);
  return some.length === 0 ? undefined : some.map(entriesOf);
}

/**
 * The verdict for each event, in their order. "If a signature is from an unknown or expired key, it is skipped": of each
 * signer at least one must be left, and all that are left must be valid.
 */
export async function verifyEvents(
  ring: KeyRing,
  events: readonly RoomEvent[],
  rules: RoomVersionRules,
): Promise<SignatureVerdict[]> {
  const slice = new Slice();
  const demands: (Demand[] | undefined)[] = [];
  for (const event of events) {
    demands.push(demandsOf(event, rules));
    await slice.tick();
  }
  const keys = await keysFor(ring, events, demands, rules);
  const verdicts: SignatureVerdict[] = [];
  for (let start = 0; start < events.length; start += chunk) {
    const part = events.slice(start, start + chunk);
    verdicts.push(...(await verifyChunk(part, demands.slice(start, start + chunk), rules, keys, slice)));
  }
  return verdicts;
}

type KeyOf = (signer: string, keyId: string, at: number) => KeyAnswer;

/** Asks for every key once for each time at which it must have been good. */
async function keysFor(
  ring: KeyRing,
  events: readonly RoomEvent[],
  demands: readonly (readonly Demand[] | undefined)[],
  rules: RoomVersionRules,
): Promise<KeyOf> {
  const wanted = new Map<string, { server: ServerName; keyId: string; at: number }>();
  events.forEach(({ originServerTs: at }, index) => {
    for (const { entries } of demands[index] ?? [])
      for (const { signer, keyId } of entries) {
        const server = parseServerName(signer);
        if (server !== undefined) wanted.set(`${signer} ${keyId} ${at}`, { server, keyId, at });
      }
  });
  const answers = new Map<string, KeyAnswer>();
  await Promise.all(
    [...wanted].map(async ([name, wish]) => {
      answers.set(name, await ring.key({ ...wish, enforceValidity: rules.enforceKeyValidity }));
    }),
  );
  return (signer, keyId, at) => answers.get(`${signer} ${keyId} ${at}`) ?? { kind: 'none' };
}

/** The signatures of one signer that count, as places in the list of checks. */
interface Counted {
  readonly signer: string;
  readonly places: readonly number[];
  /** A signature is not base64. */
  readonly broken: boolean;
  readonly unreachable: boolean;
}

async function verifyChunk(
  events: readonly RoomEvent[],
  demands: readonly (readonly Demand[] | undefined)[],
  rules: RoomVersionRules,
  keyOf: KeyOf,
  slice: Slice,
): Promise<SignatureVerdict[]> {
  const checks: SignatureCheck[] = [];
  const counted: (readonly Counted[] | undefined)[] = [];
  for (const [index, event] of events.entries()) {
    counted.push(demands[index]?.map((demand) => count(demand, event, rules, keyOf, checks)));
    await slice.tick();
  }
  const results = await verifyBatch(checks);
  return counted.map((signers) => verdictOf(signers, results));
}

function count(
  { signer, entries }: Demand,
  event: RoomEvent,
  rules: RoomVersionRules,
  keyOf: KeyOf,
  checks: SignatureCheck[],
): Counted {
  const places: number[] = [];
  let [broken, unreachable] = [false, false];
  let message: Uint8Array | undefined;
  for (const entry of entries) {
    const answer = keyOf(signer, entry.keyId, event.originServerTs);
    if (answer.kind === 'unreachable') unreachable = true;
    if (answer.kind !== 'key') continue;
    message ??= utf8Bytes(signedPduText(event.pdu, rules));
    const check = signatureCheck(message, entry, answer.publicKey);
    if (check === undefined) broken = true;
    else places.push(checks.push(check) - 1);
  }
  return { signer, places, broken, unreachable };
}

function verdictOf(signers: readonly Counted[] | undefined, results: readonly boolean[]): SignatureVerdict {
  if (signers === undefined) return { ok: false, reason: 'a signature that must be there is not', transient: false };
  for (const { signer, places, broken, unreachable } of signers) {
    if (broken || places.some((place) => results[place] !== true))
      return { ok: false, reason: `a signature of ${signer} is wrong`, transient: false };
    if (places.length === 0)
      return { ok: false, reason: `no known key of ${signer} has signed`, transient: unreachable };
  }
  return good;
}
