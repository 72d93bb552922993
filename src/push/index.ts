/** Push: rules, evaluation as events are committed, unread counts. */
import type { Bus, RoomEventEntry } from '../bus/index.ts';
import type { UserId } from '../matrix/ids.ts';
import { asString } from '../matrix/json.ts';
import type { RoomReader } from '../roomserver/index.ts';
import type { Database, Tx } from '../storage/index.ts';
import { UnreadCounts, type ReadMarkerSource } from './counts.ts';
import { PushProjection } from './projection.ts';
import { PushRules } from './rules.ts';

export type { ReadMarker, ReadMarkerSource, RoomCounts, UnreadCount } from './counts.ts';
export type { PushRules } from './rules.ts';

export interface Push {
  readonly rules: PushRules;
  readonly counts: UnreadCounts;
}

export interface PushParts {
  readonly db: Database;
  readonly bus: Bus;
  readonly rooms: RoomReader;
  readonly markers: ReadMarkerSource;
  readonly isLocal: (user: string) => boolean;
}

/** Builds the module and adds its projection to the bus. */
export function createPush({ db, bus, rooms, markers, isLocal }: PushParts): Push {
  const rules = db.read((snapshot) => new PushRules(bus, snapshot));
  const counts = new UnreadCounts(rooms, markers);
  const displayName = (tx: Tx, entry: RoomEventEntry, user: UserId): string | undefined => {
    const member = rooms.membership(tx, entry.room, user);
    return member === undefined ? undefined : asString(rooms.roomEvent(tx, member.event).content['displayname']);
  };
  bus.addProjection(new PushProjection({ bus, rooms, rules, counts, isLocal, displayName }));
  return { rules, counts };
}
