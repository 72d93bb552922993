-- Accounts, devices, tokens, keys, messages to devices, account data, profiles, receipts, presence.

CREATE TABLE userapi_accounts (
  user_id TEXT PRIMARY KEY,              -- a user of this server, deactivated ones included (an id is never given twice)
  kind TEXT NOT NULL CHECK (kind IN ('user', 'guest')), -- guests have no password and few rights
  is_admin INTEGER NOT NULL DEFAULT 0,   -- 1: server administrator
  password_hash TEXT,                    -- argon2id in PHC form; NULL: cannot log in by password
  user_type TEXT,                        -- a mark that the administrator gave (bot, support …)
  created_at INTEGER NOT NULL,           -- ms
  deactivated_at INTEGER,                -- ms; NULL: active
  erased INTEGER NOT NULL DEFAULT 0,     -- 1: the user wanted his content hidden from who comes later
  locked INTEGER NOT NULL DEFAULT 0,     -- 1: everything but logging out is refused
  suspended INTEGER NOT NULL DEFAULT 0   -- 1: may read, but not send or change
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_threepids (
  medium TEXT NOT NULL,                  -- email or msisdn
  address TEXT NOT NULL,                 -- in canonical form
  user_id TEXT NOT NULL,                 -- the account that it belongs to
  validated_at INTEGER NOT NULL,         -- ms
  added_at INTEGER NOT NULL,             -- ms
  PRIMARY KEY (medium, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_threepids_user ON userapi_threepids (user_id);

CREATE TABLE userapi_registration_tokens (
  token TEXT PRIMARY KEY,                -- what a new user must know
  uses_allowed INTEGER,                  -- how many accounts may be made with it; NULL: any number
  uses INTEGER NOT NULL DEFAULT 0,       -- how many have been
  expires_at INTEGER,                    -- ms; NULL: never
  is_default INTEGER NOT NULL DEFAULT 0  -- 1: made at the first start, because the configuration names none
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_accepted_terms (
  user_id TEXT NOT NULL,                 -- who accepted
  document TEXT NOT NULL,                -- id of the document in the configuration
  version TEXT NOT NULL,                 -- the version that was shown
  accepted_at INTEGER NOT NULL,          -- ms
  PRIMARY KEY (user_id, document, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_devices (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- chosen by client or server
  display_name TEXT,                     -- as the user named it
  created_at INTEGER NOT NULL,           -- ms
  last_seen_at INTEGER,                  -- ms; written in batches
  last_seen_ip TEXT,                     -- address of the last request
  dehydrated INTEGER NOT NULL DEFAULT 0, -- 1: a device without client (MSC3814)
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_access_tokens (
  id INTEGER PRIMARY KEY,                -- row id, named in Requester
  hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the token: the token itself is never stored
  user_id TEXT NOT NULL,                 -- whose
  device_id TEXT NOT NULL,               -- of which device
  created_at INTEGER NOT NULL,           -- ms
  expires_at INTEGER,                    -- ms; NULL: never
  refresh_id INTEGER                     -- the refresh token given out with it
) STRICT;
CREATE INDEX userapi_access_tokens_device ON userapi_access_tokens (user_id, device_id);
CREATE INDEX userapi_access_tokens_refresh ON userapi_access_tokens (refresh_id);

CREATE TABLE userapi_refresh_tokens (
  id INTEGER PRIMARY KEY,                -- row id
  hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the token
  user_id TEXT NOT NULL,                 -- whose
  device_id TEXT NOT NULL,               -- of which device
  parent_id INTEGER                      -- the token it replaces, which lives until this pair is used; NULL: none left
) STRICT;
CREATE INDEX userapi_refresh_tokens_device ON userapi_refresh_tokens (user_id, device_id);
CREATE INDEX userapi_refresh_tokens_parent ON userapi_refresh_tokens (parent_id);

CREATE TABLE userapi_login_tokens (
  hash BLOB PRIMARY KEY,                 -- SHA-256 of a token for m.login.token, good for one login
  user_id TEXT NOT NULL,                 -- who is logged in with it
  expires_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_account_data (
  user_id TEXT NOT NULL,                 -- owner
  room_id TEXT NOT NULL,                 -- '' global
  type TEXT NOT NULL,                    -- event type
  content TEXT NOT NULL,                 -- JSON object; {} is also how a deletion looks
  position INTEGER NOT NULL,             -- Position of the last change
  PRIMARY KEY (user_id, room_id, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_account_data_position ON userapi_account_data (user_id, position);

CREATE TABLE userapi_profiles (
  user_id TEXT NOT NULL,                 -- a user of this server
  field TEXT NOT NULL,                   -- displayname, avatar_url, m.tz or a custom name
  value TEXT NOT NULL,                   -- JSON
  position INTEGER NOT NULL,             -- Position of the last change
  PRIMARY KEY (user_id, field)
) STRICT, WITHOUT ROWID;

-- What must still be told to rooms after a change of a user's account: survives a crash half way.
CREATE TABLE userapi_room_tasks (
  user_id TEXT NOT NULL,                 -- a local user
  task TEXT NOT NULL CHECK (task IN ('profile', 'leave')), -- send the profile to, or leave, every joined room
  PRIMARY KEY (user_id, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_filters (
  user_id TEXT NOT NULL,                 -- owner
  filter_id INTEGER NOT NULL,            -- 1, 2, … per user
  filter TEXT NOT NULL,                  -- JSON as uploaded
  PRIMARY KEY (user_id, filter_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX userapi_filters_same ON userapi_filters (user_id, filter);

CREATE TABLE userapi_device_keys (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  keys TEXT NOT NULL,                    -- JSON as uploaded, with its own signatures
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_one_time_keys (
  id INTEGER PRIMARY KEY,                -- order of upload
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  algorithm TEXT NOT NULL,               -- signed_curve25519, …
  key_id TEXT NOT NULL,                  -- the part behind the colon
  key TEXT NOT NULL,                     -- JSON
  claimed_at INTEGER                     -- ms; NULL: to be had. Kept a while so that a repeated upload doesn't revive it
) STRICT;
CREATE UNIQUE INDEX userapi_one_time_keys_name ON userapi_one_time_keys (user_id, device_id, algorithm, key_id);
CREATE INDEX userapi_one_time_keys_free ON userapi_one_time_keys (user_id, device_id, algorithm, id)
  WHERE claimed_at IS NULL;

CREATE TABLE userapi_fallback_keys (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  algorithm TEXT NOT NULL,               -- one key for each
  key_id TEXT NOT NULL,                  -- the part behind the colon
  key TEXT NOT NULL,                     -- JSON
  used INTEGER NOT NULL DEFAULT 0,       -- 1: was given out
  PRIMARY KEY (user_id, device_id, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_cross_signing_keys (
  user_id TEXT NOT NULL,                 -- owner
  usage TEXT NOT NULL CHECK (usage IN ('master', 'self_signing', 'user_signing')), -- which of the three
  public_key TEXT NOT NULL,              -- unpadded base64: its key id
  key TEXT NOT NULL,                     -- JSON as uploaded
  PRIMARY KEY (user_id, usage)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_signatures (
  target_user_id TEXT NOT NULL,          -- whose key was signed
  target_key TEXT NOT NULL,              -- a device id or the public key of a cross-signing key
  signer_user_id TEXT NOT NULL,          -- who signed
  signer_key_id TEXT NOT NULL,           -- ed25519:…
  signature TEXT NOT NULL,               -- unpadded base64
  PRIMARY KEY (target_user_id, target_key, signer_user_id, signer_key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_device_list_changes (
  position INTEGER PRIMARY KEY,          -- Position of the change
  user_id TEXT NOT NULL,                 -- whose device keys, device names or cross-signing keys changed
  viewer TEXT                            -- the only one who sees it (he signed that user's key); NULL: everyone
) STRICT;
CREATE INDEX userapi_device_list_changes_user ON userapi_device_list_changes (user_id, position);

CREATE TABLE userapi_to_device (
  user_id TEXT NOT NULL,                 -- addressee
  device_id TEXT NOT NULL,               -- his device
  position INTEGER NOT NULL,             -- order of delivery; renewed while more than one response is full
  message TEXT NOT NULL,                 -- JSON {sender, type, content}
  PRIMARY KEY (user_id, device_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_key_backups (
  user_id TEXT NOT NULL,                 -- owner
  version INTEGER NOT NULL,              -- 1, 2, …; never given twice
  algorithm TEXT NOT NULL,               -- m.megolm_backup.v1.curve25519-aes-sha2, …
  auth_data TEXT NOT NULL,               -- JSON
  etag INTEGER NOT NULL DEFAULT 0,       -- changes with the stored keys
  deleted INTEGER NOT NULL DEFAULT 0,    -- 1: gone, kept for the version number
  PRIMARY KEY (user_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_key_backup_sessions (
  user_id TEXT NOT NULL,                 -- owner
  version INTEGER NOT NULL,              -- backup
  room_id TEXT NOT NULL,                 -- room
  session_id TEXT NOT NULL,              -- megolm session
  first_message_index INTEGER NOT NULL,  -- lower is better
  forwarded_count INTEGER NOT NULL,      -- lower is better
  is_verified INTEGER NOT NULL,          -- 1 is better
  session_data TEXT NOT NULL,            -- JSON, encrypted by the client
  PRIMARY KEY (user_id, version, room_id, session_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_dehydrated_devices (
  user_id TEXT PRIMARY KEY,              -- owner: one each
  device_id TEXT NOT NULL,               -- its device
  device_data TEXT NOT NULL              -- JSON, encrypted by the client
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_receipts (
  room_nid INTEGER NOT NULL,             -- room
  user_id TEXT NOT NULL,                 -- who has read
  receipt_type TEXT NOT NULL CHECK (receipt_type IN ('m.read', 'm.read.private')), -- public or his own
  thread_id TEXT NOT NULL,               -- '' unthreaded, main, or the event id of a thread root
  event_id TEXT NOT NULL,                -- up to which event
  event_nid INTEGER NOT NULL,            -- the same event
  ts INTEGER NOT NULL,                   -- ms, as told to others
  position INTEGER NOT NULL,             -- Position of the last change
  PRIMARY KEY (room_nid, user_id, receipt_type, thread_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_receipts_position ON userapi_receipts (room_nid, position);

-- Receipts for events that have no place in the room's order yet: they clear nothing until the event arrives.
CREATE TABLE userapi_pending_receipts (
  room_nid INTEGER NOT NULL,             -- room
  user_id TEXT NOT NULL,                 -- who has read
  receipt_type TEXT NOT NULL,            -- as in userapi_receipts
  thread_id TEXT NOT NULL,               -- as in userapi_receipts
  event_id TEXT NOT NULL,                -- the event waited for
  ts INTEGER NOT NULL,                   -- ms
  PRIMARY KEY (room_nid, user_id, receipt_type, thread_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX userapi_pending_receipts_event ON userapi_pending_receipts (event_id);

-- Presence and typing live in memory; these rows carry them over a restart.
CREATE TABLE userapi_presence (
  user_id TEXT PRIMARY KEY,              -- whose
  state TEXT NOT NULL CHECK (state IN ('online', 'unavailable', 'offline')), -- as others see it
  status_msg TEXT,                       -- the user's own words
  last_active_at INTEGER NOT NULL,       -- ms
  position INTEGER NOT NULL              -- Position of the last change
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_typing_rooms (
  room_nid INTEGER PRIMARY KEY,          -- a room in which somebody was typing
  room_id TEXT NOT NULL                  -- its id
) STRICT;
