-- Thread events in room order, for the list of a room's threads.

CREATE TABLE syncapi_thread_events (
  room INTEGER NOT NULL,                 -- room NID
  slot INTEGER NOT NULL,                 -- place of the event in the room's order, as in room_events
  live INTEGER NOT NULL,                 -- as in room_events
  depth INTEGER NOT NULL,                -- as in room_events
  event INTEGER NOT NULL,                -- event NID of an event with an m.thread relation
  root TEXT NOT NULL,                    -- id of the event that it relates to
  PRIMARY KEY (room, slot, live, depth, event)
) STRICT, WITHOUT ROWID;

-- "Closest to a timestamp" among the events of a room that have a place in its order.
CREATE INDEX room_events_by_time ON room_events (room, ts, slot, live, depth, nid) WHERE slot IS NOT NULL;
