-- Other servers: their signing keys, the documents that published them, and which of them do not answer.

CREATE TABLE fedclient_key_documents (
  id INTEGER PRIMARY KEY,                -- ascending in the order of arrival
  server TEXT NOT NULL,                  -- whose keys these are
  body TEXT NOT NULL,                    -- JSON as the server signed it, without signatures of others
  fetched_at INTEGER NOT NULL,           -- ms
  valid_until INTEGER NOT NULL           -- ms; as the document says
) STRICT;
CREATE INDEX fedclient_key_documents_by_server ON fedclient_key_documents (server);

CREATE TABLE fedclient_keys (
  server TEXT NOT NULL,                  -- whose key it is
  key_id TEXT NOT NULL,                  -- ed25519:version
  public_key BLOB NOT NULL,              -- 32 bytes
  valid_until INTEGER NOT NULL,          -- ms; at most 7 days after it was fetched
  expired_at INTEGER,                    -- ms; when the server stopped using it; null: it is in use
  document INTEGER NOT NULL REFERENCES fedclient_key_documents (id), -- the newest one that holds it
  PRIMARY KEY (server, key_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fedclient_keys_by_document ON fedclient_keys (document);

CREATE TABLE fedclient_destinations (
  server TEXT PRIMARY KEY,               -- a server that does not answer
  failing_since INTEGER NOT NULL,        -- ms
  pause_ms INTEGER NOT NULL              -- the last pause between two attempts
) STRICT, WITHOUT ROWID;
