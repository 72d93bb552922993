/** Rooms as other servers tell them: what they send is checked, what is missing is fetched. Uses fedclient, knows no routes. */
import type { FedClient } from '../../fedclient/index.ts';
import { RemoteAliases } from './aliases.ts';
import { PduChecker } from './pdus.ts';

export type { RemoteAlias, RemoteAliases } from './aliases.ts';
export type { CheckedPdus, CheckWish, FailedPdu, PduChecker } from './pdus.ts';

export interface RemoteRooms {
  readonly pdus: PduChecker;
  readonly aliases: RemoteAliases;
}

export interface RemoteRoomsParts {
  readonly federation: FedClient;
}

export function createRemoteRooms({ federation }: RemoteRoomsParts): RemoteRooms {
  return { pdus: new PduChecker(federation), aliases: new RemoteAliases(federation) };
}
