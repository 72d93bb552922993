/** `device_lists`: whose keys to fetch again, and whom to follow no longer (C-S API v1.19 §End-to-end encryption). */
import type { Entry } from '../../bus/index.ts';
import { roomMarks, type Compose, type Part, type Pass } from '../pass.ts';
import { mergeDeviceLists, sharingChanges, type SharingChanges } from '../sharing.ts';
import { atOnce, type Item, type Steps } from './item.ts';

const computed = new WeakMap<Pass, SharingChanges>();

/** With whom the user began and ended to share rooms in the range of this pass. */
export function* sharingOf(pass: Pass): Compose<SharingChanges> {
  const known = computed.get(pass);
  if (known !== undefined) return known;
  const changed = [...pass.rooms].filter(([, marks]) => (marks & roomMarks.state) !== 0).map(([room]) => room);
  const { snapshot, user, since, head } = pass;
  const sharing = yield* sharingChanges({ snapshot, rooms: pass.parts.rooms, user, since, head, changed });
  computed.set(pass, sharing);
  return sharing;
}

function polylog(pass: Pass): Steps<void> {
  pass.deviceLists = true;
  return atOnce(undefined);
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'user.device_list' || !pass.sharesRoom(entry.user)) return false;
  pass.deviceLists = true;
  return true;
}

function* compose(pass: Pass): Compose<Part | undefined> {
  // A client that starts anew fetches the keys of everyone it meets.
  if (pass.initial) return undefined;
  const { snapshot, since, head } = pass;
  const keyChanges = pass.deviceLists ? pass.parts.userData.deviceListChanges(snapshot, since, head, pass.user) : [];
  const sharing = yield* sharingOf(pass);
  const { changed, left } = mergeDeviceLists(keyChanges, sharing, (other) => pass.sharesRoom(other), pass.user);
  if (changed.length === 0 && left.length === 0) return undefined;
  for (const other of changed) pass.request.shown.key(`user:${other}`);
  // A list without entries is left out: SyTest takes an empty one for the answer that it waits for.
  const lists = { ...(changed.length > 0 ? { changed } : {}), ...(left.length > 0 ? { left } : {}) };
  return { text: JSON.stringify(lists), notable: true };
}

export const deviceListsItem: Item = { path: 'device_lists', polylog, linear, compose };
