-- Rooms that were joined without their members (S-S API v1.19, send_join with omit_members), until their state is whole.

CREATE TABLE room_partial (
  room INTEGER PRIMARY KEY,              -- room NID
  join_event INTEGER NOT NULL,           -- event NID of the join that began it; events marked partial from it on are to be made whole
  position INTEGER NOT NULL,             -- Position of that join: device list changes behind it are told anew when the room is whole
  joined_via INTEGER NOT NULL,           -- key NID of the resident server that let us in
  since INTEGER NOT NULL,                -- when that was, ms
  attempts INTEGER NOT NULL DEFAULT 0,   -- attempts to make it whole that failed since the last progress
  next_attempt INTEGER NOT NULL DEFAULT 0, -- time of the next one, ms
  failure TEXT                           -- what the last one failed on; NULL: it did not fail
) STRICT;

CREATE TABLE room_partial_servers (
  room INTEGER NOT NULL,                 -- room NID
  server INTEGER NOT NULL,               -- key NID of a server that was in the room when we joined, as the resident told
  PRIMARY KEY (room, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_partial_results (
  event INTEGER PRIMARY KEY,             -- NID of an event with partial state whose full state is known by now
  room INTEGER NOT NULL,                 -- room NID
  snapshot INTEGER NOT NULL,             -- snapshot NID of the full state before it
  state_after INTEGER NOT NULL,          -- snapshot NID of the full state after it
  told INTEGER NOT NULL,                 -- 1: another server told that state, 0: its prev events lead to it
  reason TEXT                            -- why it is rejected on its full state; NULL: it is not
) STRICT;
CREATE INDEX room_partial_results_by_room ON room_partial_results (room);

CREATE TABLE room_whole (
  room INTEGER PRIMARY KEY,              -- NID of a room that was partial and is no more
  began INTEGER NOT NULL,                -- Position of the join that made it partial
  position INTEGER NOT NULL              -- Position at which its state became whole
) STRICT;

-- Bit 32 of `flags`: the state before the event is partial.
CREATE INDEX room_events_partial ON room_events (room, nid) WHERE flags & 32 != 0;
