-- Application services: what waits to be sent to each, the transaction under way, the rooms in their directories.

CREATE TABLE appservice_queue (
  appservice TEXT NOT NULL,              -- id of the registration
  position INTEGER NOT NULL,             -- Position of the log entry that it was interested in: the order of sending
  kind TEXT NOT NULL CHECK (kind IN ('event', 'receipt', 'to_device', 'device_list', 'key_counts')),
  data TEXT NOT NULL,                    -- event: the event's NID; others: JSON of what is sent, or of where to look
  PRIMARY KEY (appservice, position, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE appservice_outbox (
  appservice TEXT PRIMARY KEY,           -- id of the registration
  txn_id INTEGER NOT NULL,               -- id of the transaction sent last, or under way
  body TEXT                              -- its JSON, repeated unaltered until it is taken; NULL: it was taken
) STRICT, WITHOUT ROWID;

CREATE TABLE appservice_directory (
  appservice TEXT NOT NULL,              -- id of the registration
  network TEXT NOT NULL,                 -- the network (protocol instance) in whose list the room stands
  room INTEGER NOT NULL,                 -- room NID
  PRIMARY KEY (appservice, network, room)
) STRICT, WITHOUT ROWID;
