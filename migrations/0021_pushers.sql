-- Pushers and what waits to be told to their gateways.

CREATE TABLE push_pushers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, so that work under way cannot meet another pusher
  user_id TEXT NOT NULL,                 -- the local user who is notified
  app_id TEXT NOT NULL,                  -- as the client named its application; m.email for mail
  pushkey TEXT NOT NULL,                 -- where the application is reached; the address for mail
  kind TEXT NOT NULL,                    -- http or email
  device_id TEXT,                        -- the device that set it and with which it goes; NULL: none
  app_display_name TEXT NOT NULL,        -- as the client sent it
  device_display_name TEXT NOT NULL,     -- as the client sent it
  profile_tag TEXT,                      -- as the client sent it, if it did
  lang TEXT NOT NULL,                    -- as the client sent it
  data TEXT NOT NULL,                    -- JSON object, for http with the gateway's url
  updated_at INTEGER NOT NULL,           -- when a client last set it, ms
  counts TEXT NOT NULL,                  -- JSON of the counts that the gateway was last told, or those at first
  mailed_at INTEGER NOT NULL DEFAULT 0,  -- when the last mail was taken, ms
  mail_pause INTEGER NOT NULL DEFAULT 0, -- how long the next mail waits after that one, ms
  secret TEXT NOT NULL,                  -- proves that a link to end mails came from one of them
  UNIQUE (user_id, app_id, pushkey)
) STRICT;

CREATE INDEX push_pushers_by_key ON push_pushers (app_id, pushkey);

-- What a pusher has still to tell, in order. A row goes in the transaction that notes that it was told.
CREATE TABLE push_queue (
  pusher INTEGER NOT NULL REFERENCES push_pushers (id) ON DELETE CASCADE, -- whose it is
  position INTEGER NOT NULL,             -- Position of the log entry that it comes from
  event_nid INTEGER NOT NULL,            -- the event; 0: only the counts have changed
  room_nid INTEGER NOT NULL,             -- its room, 0 with event 0
  thread_id TEXT NOT NULL,               -- event id of the thread root, '' in the main timeline
  tweaks TEXT NOT NULL,                  -- JSON object: the tweaks of the rule that matched
  queued_at INTEGER NOT NULL,            -- ms
  PRIMARY KEY (pusher, position)
) STRICT, WITHOUT ROWID;

-- Ignore lists are read at the start, for who is not notified of whom.
CREATE INDEX userapi_ignore_lists ON userapi_account_data (user_id)
  WHERE room_id = '' AND type = 'm.ignored_user_list';
