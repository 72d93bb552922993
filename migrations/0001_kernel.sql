-- The kernel's own tables: the Position sequence, the output log, recorded transaction ids.

CREATE TABLE kernel_sequence (
  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row
  reserved INTEGER NOT NULL              -- Positions up to this one may have been given out
) STRICT;
INSERT INTO kernel_sequence (id, reserved) VALUES (1, 0);

CREATE TABLE kernel_meta (
  key TEXT PRIMARY KEY,                  -- a name: server_name, …
  value TEXT NOT NULL                    -- its value
) STRICT, WITHOUT ROWID;

CREATE TABLE bus_log (
  position INTEGER PRIMARY KEY,          -- Position of the entry
  topic TEXT NOT NULL,                   -- kind of entry (src/bus/topics.ts)
  body TEXT NOT NULL                     -- JSON of the entry's other fields: where to look, never what is there
) STRICT;

CREATE TABLE bus_consumers (
  name TEXT PRIMARY KEY,                 -- a lagging consumer
  position INTEGER NOT NULL              -- it has applied every entry up to this Position
) STRICT, WITHOUT ROWID;

CREATE TABLE http_transactions (
  owner TEXT NOT NULL,                   -- user id, line feed, device id (empty: the user has none)
  path TEXT NOT NULL,                    -- method, blank, path with the transaction id
  status INTEGER NOT NULL,               -- HTTP status of the recorded answer (2xx)
  body TEXT NOT NULL,                    -- JSON body of the recorded answer
  created_at INTEGER NOT NULL,           -- ms
  PRIMARY KEY (owner, path)
) STRICT, WITHOUT ROWID;
