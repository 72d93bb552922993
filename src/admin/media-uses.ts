/** Where files are used: in the events of a room, and as pictures of users and rooms. */
import type { JsonValue } from '../matrix/json.ts';
import { findMxcs, mediaKey, type MediaId } from '../mediaapi/index.ts';
import { contentOf, currentContent, type Place, type RoomNid, type RoomReader } from '../roomserver/index.ts';
import { asPosition, type Database, type Snapshot } from '../storage/index.ts';
import { listAccounts, type Profiles } from '../userapi/index.ts';
import { Slice } from '../util/slice.ts';

export interface MediaUseParts {
  readonly db: Database;
  readonly rooms: RoomReader;
  readonly profiles: Profiles;
}

const pageSize = 500;
const end = asPosition(Number.MAX_SAFE_INTEGER);

/** Files that unencrypted events of a room name, in the order in which they first do. */
export async function mediaOfRoom({ db, rooms }: MediaUseParts, room: RoomNid): Promise<MediaId[]> {
  const found = new Map<string, MediaId>();
  const slice = new Slice();
  // In pages of their own reads: a long history must not hold one snapshot open.
  let after: Place | undefined;
  for (;;) {
    const events = db.read((snapshot) => rooms.timelineForward(snapshot, room, after ?? asPosition(0), end, pageSize));
    for (const event of events) {
      if (!event.client.includes('mxc://')) continue;
      // Content is JSON, as it was stored.
      for (const id of findMxcs(contentOf(event) as JsonValue)) found.set(mediaKey(id), id);
      await slice.tick();
    }
    after = events.at(-1)?.place;
    if (after === undefined) return [...found.values()];
  }
}

/** Keys of the files that are pictures of users and rooms. */
export async function profileMedia({ db, rooms, profiles }: MediaUseParts): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  const note = (value: JsonValue | undefined): void => {
    for (const id of findMxcs(value ?? null)) keys.add(mediaKey(id));
  };
  const slice = new Slice();
  await db.snapshot(async (snapshot) => {
    for (const nid of rooms.allRooms(snapshot)) {
      note(currentContent(snapshot, rooms, rooms.roomByNid(snapshot, nid), 'm.room.avatar'));
      await slice.tick();
    }
    for (const userId of everybody(snapshot)) {
      note(profiles.field(snapshot, userId, 'avatar_url'));
      await slice.tick();
    }
  });
  return keys;
}

function everybody(snapshot: Snapshot) {
  const all = { idPart: undefined, namePart: undefined, guests: undefined, admins: undefined, deactivated: undefined };
  const page = { locked: undefined, notTypes: [], orderBy: 'name', descending: false, from: 0, limit: -1 } as const;
  return listAccounts(snapshot, { ...all, ...page }).accounts.map(({ userId }) => userId);
}
