/** Rooms as other servers tell them: what they send is checked, what is missing is fetched. Uses fedclient, knows no routes. */
import type { FedClient } from '../../fedclient/index.ts';
import { PduChecker } from './pdus.ts';

export type { CheckedPdus, CheckWish, FailedPdu, PduChecker } from './pdus.ts';

export interface RemoteRooms {
  readonly pdus: PduChecker;
}

export interface RemoteRoomsParts {
  readonly federation: FedClient;
}

export function createRemoteRooms({ federation }: RemoteRoomsParts): RemoteRooms {
  return { pdus: new PduChecker(federation) };
}
