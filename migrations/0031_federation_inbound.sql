-- What other servers have sent: events that wait for their verdict, and answers to repeat.

CREATE TABLE federation_staged (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival; never given twice, so that a verdict cannot meet another event
  room TEXT NOT NULL,                    -- room id, of a room that this server is in or is just entering
  origin TEXT NOT NULL,                  -- server that sent it
  event_id TEXT,                         -- its id; NULL while the room's version is not known
  body TEXT NOT NULL,                    -- JSON text of the PDU as it came
  received_at INTEGER NOT NULL,          -- ms
  attempts INTEGER NOT NULL DEFAULT 0,   -- times that something it needs could not be had
  retry_at INTEGER NOT NULL DEFAULT 0,   -- ms; not looked at before
  UNIQUE (origin, event_id)
) STRICT;
CREATE INDEX federation_staged_by_room ON federation_staged (room, id);

CREATE TABLE federation_received (
  origin TEXT NOT NULL,                  -- server that sent the transaction
  txn_id TEXT NOT NULL,                  -- its id
  received_at INTEGER NOT NULL,          -- ms
  answer TEXT NOT NULL,                  -- JSON of the answer, repeated when the transaction comes again
  PRIMARY KEY (origin, txn_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX federation_received_by_time ON federation_received (received_at);
