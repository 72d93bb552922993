-- What goes to other servers: events of ours, news of devices, messages to devices, and how far each server has them.

CREATE TABLE sender_outbox (
  position INTEGER PRIMARY KEY,          -- Position of the event in the log
  room INTEGER NOT NULL,                 -- room NID; it goes to the hosts that were in the room before it
  event INTEGER NOT NULL,                -- event NID
  brought_by TEXT                       -- the server that handed it to us for the others, and has it; NULL: it is ours
) STRICT;

CREATE TABLE sender_outbox_rooms (
  room INTEGER PRIMARY KEY,              -- room NID
  position INTEGER NOT NULL              -- of its newest row in sender_outbox, which may have been deleted since
) STRICT;

CREATE TABLE sender_exceptions (
  server TEXT NOT NULL,                  -- a server that was not in the room before the event, and gets it too
  position INTEGER NOT NULL,             -- Position of the event in the log
  event INTEGER NOT NULL,                -- event NID: an invite, kick, ban or its end, of a user of that server
  PRIMARY KEY (server, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_to_device (
  server TEXT NOT NULL,                  -- whom it goes to
  position INTEGER NOT NULL,             -- order of the messages
  content TEXT NOT NULL,                 -- JSON: content of the EDU
  PRIMARY KEY (server, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_device_changes (
  server TEXT NOT NULL,                  -- whom it goes to
  user_id TEXT NOT NULL,                 -- user of this server
  device_id TEXT NOT NULL,               -- his device that changed; empty: his cross-signing keys
  position INTEGER NOT NULL,             -- of the change; the stream id that other servers see
  PRIMARY KEY (server, user_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sender_device_changes_by_position ON sender_device_changes (server, position);

CREATE TABLE sender_device_chains (
  server TEXT NOT NULL,                  -- a server that was told of changes
  user_id TEXT NOT NULL,                 -- of this user's devices
  stream_id INTEGER NOT NULL,            -- stream id of the last one
  PRIMARY KEY (server, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_destinations (
  server TEXT PRIMARY KEY,               -- a server that lacks something, or did a moment ago
  cursor INTEGER NOT NULL,               -- rows of sender_outbox up to this Position are done with, or in the transaction
  txn_id TEXT,                           -- transaction under way; NULL: none
  txn_ts INTEGER,                        -- ms; when it was made
  txn_events TEXT,                       -- JSON list of its event NIDs
  txn_edus TEXT,                         -- JSON list of its EDUs
  txn_body TEXT                          -- its whole body, once an attempt to send it failed
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  settled INTEGER NOT NULL,              -- whoever has no row in sender_destinations has all up to this Position
  trimmed INTEGER NOT NULL               -- rows of sender_outbox up to this Position were deleted
) STRICT;
INSERT INTO sender_progress (id, settled, trimmed) VALUES (1, 0, 0);
