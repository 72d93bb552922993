/**
 * EDUs of other servers (S-S API v1.19 §EDUs): each is checked, applied or dropped alone. What is valid has the same
 * effects as if a local user had done it, so that /sync shows it.
 */
import type { ServerName } from '../../matrix/ids.ts';
import type { Handshakes, RoomReader } from '../../roomserver/index.ts';
import { CommitError, isStorageFull, type Database } from '../../storage/index.ts';
import type { RemoteUsers, UserApi } from '../../userapi/index.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/log.ts';
import { DeviceListEdus } from './device-lists.ts';
import { presenceEdu } from './presence.ts';
import { receiptEdu } from './receipts.ts';
import { ToDeviceEdus } from './to-device.ts';
import { typingEdu } from './typing.ts';

/** One EDU of a transaction, its JSON parsed and nothing else checked. */
export interface Edu {
  readonly type: string;
  readonly content: unknown;
}

export interface EduHandler {
  /**
   * Applies EDUs in their order and resolves when all that must last is on disk. What is not valid, or not the origin's
   * to say, is dropped without a word. @throws CommitError when the disk refuses: the transaction must come again
   */
  handle(origin: ServerName, edus: readonly Edu[]): Promise<void>;
  /** Forgets messages so old that no server sends them again. */
  prune(): Promise<void>;
}

export interface EduParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly users: Pick<UserApi, 'accounts' | 'presence' | 'receipts' | 'toDevice' | 'typing'>;
  readonly remoteUsers: Pick<RemoteUsers, 'fetcher' | 'lists'>;
  readonly handshakes: Pick<Handshakes, 'size' | 'onEnd'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Applies the content of an EDU; nothing when it is not valid. */
export type EduKind = (origin: ServerName, content: unknown) => Promise<unknown> | void;

/** "A transaction MUST NOT contain more than 100 EDUs"; some servers are not that exact. */
const maxEdus = 200;
/** EDUs that are kept to be looked at again when we have entered a room. */
const maxHeld = 500;

export function createEdus(parts: EduParts): EduHandler {
  const log = parts.log.child({ module: 'federation' });
  const toDevice = new ToDeviceEdus(parts);
  const deviceLists = new DeviceListEdus(parts);
  const signingKeys: EduKind = (origin, content) => deviceLists.signingKeys(origin, content);
  const kinds = new Map<string, EduKind>([
    ['m.typing', typingEdu(parts)],
    ['m.presence', presenceEdu(parts)],
    ['m.receipt', receiptEdu(parts)],
    ['m.direct_to_device', (origin, content) => toDevice.receive(origin, content)],
    ['m.device_list_update', (origin, content) => deviceLists.update(origin, content)],
    ['m.signing_key_update', signingKeys],
    // The name that it had before it was in the specification; some servers send both.
    ['org.matrix.signing_key_update', signingKeys],
  ]);
  const apply = async (origin: ServerName, { type, content }: Edu): Promise<void> => {
    try {
      await kinds.get(type)?.(origin, content);
    } catch (error) {
      if (error instanceof CommitError || isStorageFull(error)) throw error;
      log.warn({ origin, type, err: error }, 'an EDU was dropped');
    }
  };
  // A server that lets us into a room tells of its users at once, while we are still busy with its answer: what came
  // meanwhile is looked at once more when we are in. None of these does harm when it is applied twice.
  const held: (readonly [ServerName, Edu])[] = [];
  parts.handshakes.onEnd(() => {
    if (parts.handshakes.size > 0) return;
    for (const [origin, edu] of held.splice(0)) {
      apply(origin, edu).catch((error: unknown) => log.warn({ origin, type: edu.type, err: error }, 'an EDU was lost'));
    }
  });
  const hold = (origin: ServerName, edu: Edu): void => {
    if (parts.handshakes.size === 0 || edu.type === 'm.direct_to_device') return;
    if (held.length < maxHeld && kinds.has(edu.type)) held.push([origin, edu]);
  };
  return {
    handle: async (origin, edus) => {
      const begun: Promise<void>[] = [];
      for (const edu of edus.slice(0, maxEdus)) {
        const applied = apply(origin, edu);
        begun.push(applied);
        hold(origin, edu);
        // Begun in order: what they write is committed in that order too. What lives in memory may pause in between.
        if (edu.type === 'm.presence') await applied;
      }
      await Promise.all(begun);
    },
    prune: () => toDevice.prune(),
  };
}
