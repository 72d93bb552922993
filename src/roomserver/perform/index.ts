/** What users of this server do to rooms; each function runs inside the caller's unit and is thrown back with it. */
import type { ServerName } from '../../matrix/ids.ts';
import type { RoomVersion } from '../../matrix/room-versions.ts';
import type { Clock } from '../../util/clock.ts';
import type { RoomCore } from '../core.ts';
import { RoomAliases, type AliasRule } from './alias.ts';
import { RoomCreation } from './create-room.ts';
import { Joining } from './join.ts';
import { Memberships } from './membership.ts';
import { Sending } from './send.ts';
import { RoomUpgrades } from './upgrade.ts';
import type { RoomUsers } from './users.ts';

export interface Perform {
  readonly creation: RoomCreation;
  readonly sending: Sending;
  readonly joining: Joining;
  readonly memberships: Memberships;
  readonly aliases: RoomAliases;
  readonly upgrades: RoomUpgrades;
}

export interface PerformParts {
  readonly rooms: RoomCore;
  readonly users: RoomUsers;
  readonly serverName: ServerName;
  readonly defaultVersion: RoomVersion;
  readonly clock: Clock;
  readonly aliasRule?: AliasRule;
}

export function createPerform({ rooms, users, serverName, defaultVersion, clock, aliasRule }: PerformParts): Perform {
  const aliases = new RoomAliases(rooms, serverName, clock, aliasRule);
  const joining = new Joining(rooms, users, aliases);
  const memberships = new Memberships(rooms, users, joining);
  const sending = new Sending(rooms, aliases, memberships, joining);
  const upgrades = new RoomUpgrades(rooms, users, aliases);
  const creation = new RoomCreation({ rooms, users, aliases, memberships, sending, serverName, defaultVersion });
  return { creation, sending, joining, memberships, aliases, upgrades };
}
