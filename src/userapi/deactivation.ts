/** Closing an account for good (C-S API v1.19 §Account deactivation). */
import type { UserId } from '../matrix/ids.ts';
import type { Database } from '../storage/index.ts';
import type { AccountData } from './account-data.ts';
import type { Accounts } from './accounts.ts';
import type { Devices } from './devices.ts';
import type { Filters } from './filters.ts';
import type { MemberEvents } from './member-events.ts';
import type { Presence } from './presence.ts';
import type { Profiles } from './profiles.ts';
import type { Threepids, UnbindResult } from './threepids.ts';

export interface DeactivationParts {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly devices: Devices;
  readonly profiles: Profiles;
  readonly accountData: AccountData;
  readonly filters: Filters;
  readonly memberEvents: MemberEvents;
  readonly presence: Presence;
  readonly threepids: Threepids;
}

/**
 * Ends sessions, password and profile in one transaction, then leaves all rooms. `erase` also removes the user's account
 * data, and hides his events from who comes later (INVARIANTS 17). Returns whether identity servers forget him too.
 */
export async function deactivate(
  parts: DeactivationParts,
  userId: UserId,
  erase: boolean,
  idServer?: string,
): Promise<UnbindResult> {
  const { db, accounts, devices, profiles, accountData, filters, memberEvents, presence } = parts;
  await db.write((tx) => {
    accounts.deactivate(tx, userId, erase);
    devices.deleteAll(tx, userId);
    profiles.clear(tx, userId);
    if (erase) {
      accountData.deleteAll(tx, userId);
      filters.deleteAll(tx, userId);
      memberEvents.erase(tx, userId);
    }
    memberEvents.require(tx, userId, 'leave');
    tx.afterCommit(() => presence.forget(userId));
  });
  await memberEvents.run(userId, 'leave');
  return parts.threepids.unbindAll(userId, idServer);
}
