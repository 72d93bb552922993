/**
 * Asking servers that are in a room, one after another, until one of them helps (S-S API v1.19 §Joining Rooms, §Knocking,
 * §Leaving): whom to ask, for how long, and what the client is told when nobody did.
 */
import type { FederationFault } from '../../fedclient/index.ts';
import { MatrixError, matrixError } from '../../matrix/errors.ts';
import { type RoomId, type ServerName, type UserId, parseServerName, serverNameOf } from '../../matrix/ids.ts';
import { asString, memberOf, parseJson } from '../../matrix/json.ts';
import { asPosition, type Snapshot } from '../../storage/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Result } from '../../util/result.ts';
import type { RoomReader } from '../room-reader.ts';

/** More are not asked for one request of a client. */
const mostServers = 15;
const newest = asPosition(Number.MAX_SAFE_INTEGER);

/** Where to look for servers that are in a room. */
export interface Search {
  readonly roomId: RoomId;
  readonly user: UserId;
  /** Named by the client, or by the directory that knows the alias. */
  readonly via: readonly string[];
}

/**
 * Servers that may be in a room, the likeliest first: who has invited the user, and those named; where none are, those
 * joined by what we know, those that the stripped state of an invite or knock names, the server in the room's id.
 */
export function residentsOf(snapshot: Snapshot, rooms: RoomReader, { roomId, user, via }: Search): string[] {
  const found: (string | undefined)[] = [];
  const room = rooms.room(snapshot, roomId);
  const row = room === undefined ? undefined : rooms.localMembershipAt(snapshot, user, room.nid, newest);
  const isOpen = row?.membership === 'invite' || row?.membership === 'knock';
  if (row !== undefined && isOpen && row.event !== 0) {
    const sender = rooms.event(snapshot, row.event)?.sender;
    if (sender !== undefined) found.push(serverNameOf(sender));
  }
  found.push(...via);
  // A client that names servers means those.
  if (via.length > 0) return found.filter((server) => server !== undefined);
  if (room !== undefined) {
    found.push(...rooms.joinedServers(snapshot, room.nid), ...rooms.partialServers(snapshot, room.nid));
  }
  if (row !== undefined && isOpen) {
    for (const text of rooms.strippedState(snapshot, row)) {
      const sender = asString(memberOf(parseJson(text), 'sender'));
      if (sender !== undefined) found.push(serverNameOf(sender as UserId));
    }
  }
  found.push(serverNameOf(roomId));
  return found.filter((server) => server !== undefined);
}

export interface Asking {
  readonly serverName: ServerName;
  readonly permits: (server: string) => boolean;
  readonly clock: Clock;
  /** No further server is asked after that many ms. */
  readonly patienceMs: number;
}

/**
 * Asks each server in turn; resolves with the first help, or with what each of them said.
 *
 * @throws whatever `ask` throws, which ends the asking
 */
export async function askInTurn<T>(
  servers: readonly string[],
  { serverName, permits, clock, patienceMs }: Asking,
  ask: (server: ServerName) => Promise<Result<T, FederationFault>>,
): Promise<{ readonly answer: T; readonly server: ServerName } | { readonly faults: readonly FederationFault[] }> {
  const candidates = [...new Set(servers)].filter((server) => server !== serverName && permits(server));
  const faults: FederationFault[] = [];
  const deadline = clock.now() + patienceMs;
  for (const candidate of candidates.slice(0, mostServers)) {
    const server = parseServerName(candidate);
    if (server === undefined) continue;
    if (faults.length > 0 && clock.now() > deadline) break;
    const answer = await ask(server);
    if (answer.ok) return { answer: answer.value, server };
    faults.push(answer.error);
    if (isFinal(answer.error)) break;
  }
  return { faults };
}

export const badReply = (message: string): FederationFault => ({ kind: 'bad-reply', message });

/** The rules of the room forbid what a server had nothing against. */
export const refusal = (message: string): FederationFault => ({
  kind: 'http',
  ...{ message, status: 403, errcode: 'M_FORBIDDEN', body: { error: message }, retryAfterMs: undefined },
});

/** No other server would say otherwise. */
const isFinal = (fault: FederationFault): boolean =>
  fault.kind === 'http' && fault.errcode === 'M_INCOMPATIBLE_ROOM_VERSION';

/** Ours to get right, or of no meaning to a client. */
const ownBusiness = new Set([
  'M_UNRECOGNIZED',
  'M_MISSING_PARAM',
  'M_INVALID_PARAM',
  'M_BAD_JSON',
  'M_NOT_JSON',
  'M_UNAUTHORIZED',
  'M_MISSING_TOKEN',
  'M_UNKNOWN_TOKEN',
]);

/**
 * What a client is told of a refusal: "The error should be passed through to clients so that they may give better
 * feedback to users", but what concerns the servers' talk alone "SHOULD fail with a 5xx error".
 */
export function clientErrorOf(fault: FederationFault): MatrixError | undefined {
  if (fault.kind !== 'http' || fault.status < 400 || fault.status >= 500) return undefined;
  // It is the client that should wait: nothing is tried again for it.
  if (fault.status === 429) return matrixError.limitExceeded(fault.retryAfterMs ?? 1000);
  const text = (asString(memberOf(fault.body, 'error')) ?? '').slice(0, 300);
  const message = text === '' ? 'The other server refused' : text;
  if (fault.errcode === 'M_UNKNOWN' && fault.status === 403) return matrixError.forbidden(message);
  if (fault.errcode === 'M_UNKNOWN' && fault.status === 404) return matrixError.notFound(message);
  if (ownBusiness.has(fault.errcode) || fault.errcode === 'M_UNKNOWN' || fault.status === 401) return undefined;
  const version = asString(memberOf(fault.body, 'room_version'));
  return new MatrixError(fault.status, fault.errcode, message, version === undefined ? {} : { room_version: version });
}

const weights: Readonly<Record<string, number>> = {
  M_INCOMPATIBLE_ROOM_VERSION: 5,
  M_FORBIDDEN: 4,
  M_UNABLE_TO_GRANT_JOIN: 3,
  M_UNABLE_TO_AUTHORISE_JOIN: 2,
  M_NOT_FOUND: 0,
};

/** The error of a request that nobody helped with: the most telling one. */
export function refusalOf(faults: readonly FederationFault[]): MatrixError {
  if (faults.length === 0) return matrixError.notFound('No server is known that could help with this room');
  const errors = faults.map(clientErrorOf).filter((error) => error !== undefined);
  const weightOf = ({ errcode }: MatrixError): number => weights[errcode] ?? 1;
  const [first, ...others] = errors;
  if (first === undefined) return new MatrixError(502, 'M_UNKNOWN', 'No server of the room could be reached');
  return others.reduce((best, error) => (weightOf(error) > weightOf(best) ? error : best), first);
}
