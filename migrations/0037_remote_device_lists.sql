-- Devices and cross-signing keys of users of other servers who share a room with one of ours: what /keys/query answers
-- from. A list goes with the last shared room.

CREATE TABLE userapi_remote_lists (
  user_id TEXT PRIMARY KEY,              -- a user of another server
  server TEXT NOT NULL,                  -- his server
  fresh INTEGER NOT NULL,                -- 1: holds every change up to now; 0: must be fetched before it is used
  base_stream INTEGER NOT NULL,          -- the fetched list held all updates up to this stream_id; 0: never fetched
  seen TEXT NOT NULL,                    -- JSON list of the stream_ids of updates applied since
  announce INTEGER NOT NULL,             -- 1: clients are to be told that it changed, as soon as it is fresh
  retry_at INTEGER NOT NULL,             -- ms; when it is fetched, if it is not fresh
  pause_ms INTEGER NOT NULL,             -- ms; the pause that ends then; 0: the last attempt did not fail
  failing_since INTEGER                  -- ms; NULL: the last attempt did not fail
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_remote_lists_due ON userapi_remote_lists (retry_at) WHERE fresh = 0;
CREATE INDEX userapi_remote_lists_news ON userapi_remote_lists (user_id) WHERE fresh = 1 AND announce = 1;
CREATE INDEX userapi_remote_lists_server ON userapi_remote_lists (server) WHERE fresh = 0;

CREATE TABLE userapi_remote_devices (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  display_name TEXT,                     -- as its server tells it
  keys TEXT,                             -- JSON with the owner's signatures only; NULL: a device without keys
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_remote_signing_keys (
  user_id TEXT NOT NULL,                 -- owner
  usage TEXT NOT NULL CHECK (usage IN ('master', 'self_signing')), -- others are shown to nobody
  public_key TEXT NOT NULL,              -- unpadded base64: its key id
  key TEXT NOT NULL,                     -- JSON with the owner's signatures only
  PRIMARY KEY (user_id, usage)
) STRICT, WITHOUT ROWID;
