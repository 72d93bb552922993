/** The part of `RoomReader` that gives single events, as they are stored, as PDUs and as they look redacted. */
import { canonicalJson } from '../../matrix/canonical-json.ts';
import { redactEvent } from '../../matrix/pdu.ts';
import type { Snapshot } from '../../storage/index.ts';
import type { RoomReader } from '../room-reader.ts';
import { redactedTexts } from '../input/annotate.ts';
import { types as knownTypes } from '../storage/nids.ts';
import type { Stores } from '../stores.ts';
import type { EventNid, StoredEvent } from '../types.ts';

type EventReader = Pick<
  RoomReader,
  | 'event'
  | 'eventById'
  | 'eventId'
  | 'roomEvent'
  | 'pduText'
  | 'authEvents'
  | 'prevEvents'
  | 'redacted'
  | 'isErased'
  | 'membershipOf'
  | 'citedMember'
>;

export function eventReader(stores: Stores): EventReader {
  const { rooms, events } = stores;
  return {
    event: (snapshot, nid) => (nid < 0 ? stores.outOfBand.stored(snapshot, nid) : events.stored(snapshot, nid)),
    eventById: (snapshot, eventId) => events.stored(snapshot, events.nidOf(snapshot, eventId)),
    eventId: (snapshot, nid) => events.meta(snapshot, nid)?.eventId,
    pduText: (snapshot, nid, redacted = false) => {
      const room = rooms.byNid(snapshot, events.knownMeta(snapshot, nid).room);
      if (!redacted) return events.pduText(snapshot, nid, room.rules);
      const { pdu } = redactEvent(events.parsed(snapshot, nid, room.rules), room.rules);
      return canonicalJson(pdu, { lenient: !room.rules.strictCanonicalJson });
    },
    authEvents: (snapshot, nid) => events.authNids(snapshot, nid),
    prevEvents: (snapshot, nid) => {
      const known = events.prevNids(snapshot, nid);
      if (known !== undefined) return known;
      const { rules } = rooms.byNid(snapshot, events.knownMeta(snapshot, nid).room);
      const { prevEvents } = events.parsed(snapshot, nid, rules);
      return prevEvents.map((id) => events.nidOf(snapshot, id)).filter((prev) => prev > 0);
    },
    redacted: (snapshot, event) => ({
      ...event,
      client: redactedTexts(stores, snapshot, rooms.byNid(snapshot, event.room), event.nid).client,
    }),
    isErased: (user) => stores.erased.has(user),
    citedMember: (snapshot, event, user) => citedMember(stores, snapshot, event, user),
    membershipOf: (snapshot, nid) =>
      nid < 0 ? stores.outOfBand.membership(snapshot, nid) : events.membership(snapshot, nid),
    roomEvent: (snapshot, nid) => {
      const outside = nid < 0 ? stores.outOfBand.event(snapshot, nid) : undefined;
      if (outside !== undefined) return outside.event;
      const meta = events.knownMeta(snapshot, nid);
      return events.parsed(snapshot, nid, rooms.byNid(snapshot, meta.room).rules, meta);
    },
  };
}

/** The member event of a user among the auth events of an event; 0: it cites none. */
function citedMember(stores: Stores, snapshot: Snapshot, event: StoredEvent, user: string): EventNid {
  if (event.nid < 0) return 0 as EventNid;
  const key = stores.keys.find(snapshot, user);
  const isOwn = (nid: EventNid): boolean => {
    const meta = stores.events.knownMeta(snapshot, nid);
    return meta.type === knownTypes.member && meta.key === key;
  };
  return stores.events.authNids(snapshot, event.nid).find(isOwn) ?? (0 as EventNid);
}
