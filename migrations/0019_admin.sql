-- What administrators do: seen devices, tokens for other users, limits of single users, blocked rooms, long tasks.

ALTER TABLE userapi_devices ADD COLUMN last_seen_agent TEXT;  -- User-Agent of the last request
ALTER TABLE userapi_access_tokens ADD COLUMN issued_by TEXT;  -- administrator who acts as the user with it; such a token has no device ('')
CREATE INDEX userapi_access_tokens_issued ON userapi_access_tokens (issued_by) WHERE issued_by IS NOT NULL;
ALTER TABLE userapi_reports ADD COLUMN event_sender TEXT;     -- sender of the reported event; NULL: no event is reported

CREATE TABLE userapi_rate_overrides (
  user_id TEXT PRIMARY KEY,              -- a user with limits of his own
  per_second INTEGER NOT NULL,           -- messages a second; 0 with burst 0: he is not limited at all
  burst INTEGER NOT NULL                 -- messages at once
) STRICT, WITHOUT ROWID;

CREATE TABLE room_blocked (
  room_id TEXT PRIMARY KEY,              -- a room that nobody here may enter, known or not
  blocked_by TEXT NOT NULL,              -- the administrator
  blocked_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE admin_tasks (
  id TEXT PRIMARY KEY,                   -- opaque id, as told to the administrator
  kind TEXT NOT NULL,                    -- delete_room, purge_history
  room_id TEXT NOT NULL,                 -- the room that it works on
  admin TEXT NOT NULL,                   -- user id of the administrator
  status TEXT NOT NULL CHECK (status IN ('scheduled', 'active', 'complete', 'failed')), -- how far it is
  request TEXT NOT NULL,                 -- JSON: what is to be done
  result TEXT,                           -- JSON: what has been done
  error TEXT,                            -- why it failed
  changed_at INTEGER NOT NULL            -- ms; when the status changed
) STRICT, WITHOUT ROWID;
CREATE INDEX admin_tasks_by_room ON admin_tasks (room_id);

-- Numbers are never given twice, also when the rows that had the highest ones are purged.
CREATE TABLE room_numbers (
  kind TEXT PRIMARY KEY,                 -- what is numbered: events
  last INTEGER NOT NULL                  -- numbers up to this one have been given out
) STRICT, WITHOUT ROWID;
