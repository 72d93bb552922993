/** Puts the inside of the roomserver together: stores, state resolution, reading, writing, receiving. */
import type { Bus } from '../bus/index.ts';
import type { KeyPair } from '../matrix/crypto/ed25519.ts';
import type { ServerName } from '../matrix/ids.ts';
import type { Database } from '../storage/index.ts';
import type { Clock } from '../util/clock.ts';
import type { RoomCore } from './core.ts';
import { roomInput } from './input/input.ts';
import type { PipelineTools, StateReset } from './input/job.ts';
import { PolicySignatures } from './policy-signatures.ts';
import { roomReader } from './reader.ts';
import { Resolver } from './state/resolve.ts';
import { type Stores, openStores } from './stores.ts';
import type { RoomNid } from './types.ts';
import { roomWriter } from './writer.ts';

export interface RoomCoreOptions {
  readonly db: Database;
  readonly bus: Bus;
  readonly serverName: ServerName;
  /** The key that signs this server's events. */
  readonly signingKey: { readonly keyId: string; readonly key: KeyPair };
  readonly clock: Clock;
  /** Bound of the decoded state blocks kept in memory, in bytes. */
  readonly stateCacheBytes?: number;
  /** Conflicted events up to which a state resolution runs inside a transaction instead of before it. */
  readonly resolveInlineUpTo?: number;
}

/** The inside of the roomserver, with what its other parts are built on. */
export interface RoomServer extends RoomCore {
  readonly stores: Stores;
  readonly tools: PipelineTools;
  /** Is told when a room is partial no more, because its state is whole or because it was given up. */
  onPartialEnd(listener: (room: RoomNid) => void): void;
  /** Is told when a resolution took a membership, power level or join rule back without a new event to cause it. */
  onStateReset(listener: (reset: StateReset) => void): void;
}

/** The inside of the roomserver, with its stores for verification and garbage collection. */
export function createRoomCore(options: RoomCoreOptions): RoomServer {
  const { db, bus, serverName, signingKey, clock } = options;
  const stores = db.read((snapshot) => openStores(snapshot, serverName, options.stateCacheBytes));
  const partialEnds: ((room: RoomNid) => void)[] = [];
  const stateResets: ((reset: StateReset) => void)[] = [];
  const tools: PipelineTools = {
    stores,
    resolver: new Resolver(stores, options.resolveInlineUpTo),
    now: () => clock.now(),
    append: (tx, entry, position) => void bus.append(tx, entry, position),
    onPartialEnd: (room) => {
      for (const listener of partialEnds) listener(room);
    },
    policies: new PolicySignatures(stores),
    onStateReset: (reset) => {
      for (const listener of stateResets) listener(reset);
    },
  };
  return {
    ...roomReader(stores),
    ...roomWriter(tools, { serverName, ...signingKey }),
    ...roomInput(db, tools),
    stores,
    tools,
    onPartialEnd: (listener) => void partialEnds.push(listener),
    onStateReset: (listener) => void stateResets.push(listener),
  };
}
