-- Reports of content, and tokens that prove to third parties who a user is.

CREATE TABLE userapi_reports (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival
  reporter TEXT NOT NULL,                -- user id of who reports
  room_id TEXT,                          -- the room, or that of the event; NULL: a user is reported
  event_id TEXT,                         -- the event; NULL: the room or the user is reported
  user_id TEXT,                          -- the user; NULL: a room or an event is reported
  reason TEXT,                           -- in the reporter's words
  score INTEGER,                         -- how bad, -100 to 0, from older clients
  received_at INTEGER NOT NULL           -- ms
) STRICT;

CREATE TABLE userapi_openid_tokens (
  hash BLOB PRIMARY KEY,                 -- SHA-256 of the token
  user_id TEXT NOT NULL,                 -- who he is
  expires_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_openid_tokens_by_expiry ON userapi_openid_tokens (expires_at);
