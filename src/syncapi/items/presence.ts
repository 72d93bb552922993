/** `presence`: last known presence of those who share a room with the user, when it changed or they have met anew. */
import type { Entry } from '../../bus/index.ts';
import { matchesEvent } from '../../matrix/filters.ts';
import type { UserId } from '../../matrix/ids.ts';
import type { Compose, Part, Pass } from '../pass.ts';
import { sharingOf } from './device-lists.ts';
import { isPause, type Item } from './item.ts';

/** Who shares a room with the user, or may: of members of partial-state rooms their servers know better than we do. */
const concerns = (pass: Pass, user: UserId): boolean =>
  pass.sharesRoom(user) || pass.parts.rooms.presumedRooms(pass.snapshot, user).some((room) => pass.isJoined(room));

function* polylog(pass: Pass): Compose<void> {
  let step = 0;
  for (const user of pass.parts.userData.presenceChanges(pass.since)) {
    if (concerns(pass, user)) pass.presence.add(user);
    if (isPause(step++)) yield;
  }
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'user.presence' || !concerns(pass, entry.user)) return false;
  pass.presence.add(entry.user);
  return true;
}

function* compose(pass: Pass): Compose<Part | undefined> {
  const users = new Set(pass.presence);
  if (!pass.initial) for (const user of (yield* sharingOf(pass)).met) users.add(user);
  const events: string[] = [];
  for (const user of [...users].sort()) {
    if (pass.ignored.has(user) || !matchesEvent(pass.request.filter.presence, { type: 'm.presence', sender: user })) {
      continue;
    }
    const content = pass.parts.userData.presence(user);
    if (content === undefined) continue;
    events.push(`{"type":"m.presence","sender":${JSON.stringify(user)},"content":${JSON.stringify(content)}}`);
  }
  return events.length === 0 ? undefined : { text: `{"events":[${events.join(',')}]}`, notable: true };
}

export const presenceItem: Item = { path: 'presence', polylog, linear, compose };
