/**
 * The member events that a page of events needs under lazy loading (C-S API v1.19 §Lazy-loading room members): one for each
 * sender, as of his first event in the page. Which ones the client has already is not remembered for paging.
 */
import type { StoredEvent } from '../roomserver/index.ts';
import type { RoomRead } from './room-read.ts';

/** Member events of the senders, in the order of their first event. */
export function membersOfSenders({ snapshot, rooms }: RoomRead, events: Iterable<StoredEvent>): StoredEvent[] {
  const members = new Map<string, StoredEvent>();
  for (const event of events) {
    if (members.has(event.sender)) continue;
    const { sender } = event;
    const nid =
      rooms.stateEvent(snapshot, rooms.stateAfter(snapshot, event), 'm.room.member', sender) ||
      // The state of a partial room lacks who speaks: his events cite his member event.
      rooms.citedMember(snapshot, event, sender);
    const member = nid === 0 ? undefined : rooms.event(snapshot, nid);
    if (member !== undefined) members.set(event.sender, member);
  }
  return [...members.values()];
}
