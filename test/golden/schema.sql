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

CREATE TABLE appservice_directory (
  appservice TEXT NOT NULL,              -- id of the registration
  network TEXT NOT NULL,                 -- the network (protocol instance) in whose list the room stands
  room INTEGER NOT NULL,                 -- room NID
  PRIMARY KEY (appservice, network, room)
) STRICT, WITHOUT ROWID;

CREATE TABLE appservice_outbox (
  appservice TEXT PRIMARY KEY,           -- id of the registration
  txn_id INTEGER NOT NULL,               -- id of the transaction sent last, or under way
  body TEXT                              -- its JSON, repeated unaltered until it is taken; NULL: it was taken
) STRICT, WITHOUT ROWID;

CREATE TABLE appservice_queue (
  appservice TEXT NOT NULL,              -- id of the registration
  position INTEGER NOT NULL,             -- Position of the log entry that it was interested in: the order of sending
  kind TEXT NOT NULL CHECK (kind IN ('event', 'receipt', 'to_device', 'device_list', 'key_counts')),
  data TEXT NOT NULL,                    -- event: the event's NID; others: JSON of what is sent, or of where to look
  PRIMARY KEY (appservice, position, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE bus_consumers (
  name TEXT PRIMARY KEY,                 -- a lagging consumer
  position INTEGER NOT NULL              -- it has applied every entry up to this Position
, version INTEGER NOT NULL DEFAULT 0, cursor INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE bus_log (
  position INTEGER PRIMARY KEY,          -- Position of the entry
  topic TEXT NOT NULL,                   -- kind of entry (src/bus/topics.ts)
  body TEXT NOT NULL                     -- JSON of the entry's other fields: where to look, never what is there
) STRICT;

CREATE TABLE bus_parked (
  consumer TEXT NOT NULL,                -- name of the consumer
  key TEXT NOT NULL,                     -- what the entry is about; later entries of the same key wait behind it
  position INTEGER NOT NULL,             -- Position of the entry
  topic TEXT NOT NULL,                   -- as in bus_log
  body TEXT NOT NULL,                    -- as in bus_log
  reason TEXT NOT NULL,                  -- why it could not be applied; empty: it waits behind another
  PRIMARY KEY (consumer, key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE fedclient_destinations (
  server TEXT PRIMARY KEY,               -- a server that does not answer
  failing_since INTEGER NOT NULL,        -- ms
  pause_ms INTEGER NOT NULL              -- the last pause between two attempts
) STRICT, WITHOUT ROWID;

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

CREATE TABLE federation_received (
  origin TEXT NOT NULL,                  -- server that sent the transaction
  txn_id TEXT NOT NULL,                  -- its id
  received_at INTEGER NOT NULL,          -- ms
  answer TEXT NOT NULL,                  -- JSON of the answer, repeated when the transaction comes again
  PRIMARY KEY (origin, txn_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX federation_received_by_time ON federation_received (received_at);

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

CREATE TABLE federation_to_device (
  origin TEXT NOT NULL,                  -- the server that sent it
  message_id TEXT NOT NULL,              -- as that server calls it
  received_at INTEGER NOT NULL,          -- ms
  PRIMARY KEY (origin, message_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX federation_to_device_age ON federation_to_device (received_at);

CREATE TABLE http_transactions (
  owner TEXT NOT NULL,                   -- user id, line feed, device id (empty: the user has none)
  path TEXT NOT NULL,                    -- method, blank, path with the transaction id
  status INTEGER NOT NULL,               -- HTTP status of the recorded answer (2xx)
  body TEXT NOT NULL,                    -- JSON body of the recorded answer
  created_at INTEGER NOT NULL,           -- ms
  PRIMARY KEY (owner, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE kernel_meta (
  key TEXT PRIMARY KEY,                  -- a name: server_name, …
  value TEXT NOT NULL                    -- its value
) STRICT, WITHOUT ROWID;

CREATE TABLE kernel_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;

CREATE TABLE kernel_sequence (
  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row
  reserved INTEGER NOT NULL              -- Positions up to this one may have been given out
) STRICT;

CREATE TABLE media_blobs (
  hash TEXT PRIMARY KEY,                 -- SHA-256 of the bytes in hex; the file's name on disk
  size INTEGER NOT NULL,                 -- bytes
  format TEXT,                           -- png, jpeg, gif, webp or avif by its first bytes; null: no thumbnails
  width INTEGER,                         -- pixels, upright; null: not looked at yet
  height INTEGER,                        -- pixels, upright; null: not looked at yet
  frames INTEGER,                        -- 1 for still images; null: not looked at yet
  quarantined INTEGER NOT NULL,          -- 1: nothing with this content is served
  created_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE media_items (
  origin TEXT NOT NULL,                  -- server name of the mxc URI; ours or another's (a copy)
  media_id TEXT NOT NULL,                -- media id of the mxc URI
  kind TEXT NOT NULL,                    -- upload, remote (a copy), preview (the image of a link)
  hash TEXT REFERENCES media_blobs (hash), -- its content; null: none yet
  content_type TEXT NOT NULL,            -- as the uploader or the origin said
  filename TEXT,                         -- as the uploader or the origin said
  uploader TEXT,                         -- local user; null: a copy or preview
  created_at INTEGER NOT NULL,           -- ms; when the id was made
  stored_at INTEGER,                     -- ms; when the content came; null: not yet
  expires_at INTEGER,                    -- ms; until when the content must come; null: it has come
  accessed_at INTEGER NOT NULL,          -- ms; last download, to the hour
  authenticated INTEGER NOT NULL,        -- 1: came while the unauthenticated paths were frozen
  quarantined_by TEXT,                   -- who forbade it; null: nobody
  protected INTEGER NOT NULL,            -- 1: neither quarantine nor retention touch it
  PRIMARY KEY (origin, media_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX media_items_by_access ON media_items (kind, accessed_at) WHERE hash IS NOT NULL;

CREATE INDEX media_items_by_hash ON media_items (hash) WHERE hash IS NOT NULL;

CREATE INDEX media_items_by_uploader ON media_items (uploader, created_at) WHERE uploader IS NOT NULL;

CREATE INDEX media_items_pending ON media_items (uploader, expires_at) WHERE hash IS NULL;

CREATE TABLE media_previews (
  url TEXT PRIMARY KEY,                  -- as asked for, without fragment
  body TEXT,                             -- JSON: the OpenGraph answer; null: the page could not be fetched
  fetched_at INTEGER NOT NULL,           -- ms
  expires_at INTEGER NOT NULL            -- ms; then it is fetched again
) STRICT, WITHOUT ROWID;

CREATE INDEX media_previews_by_expiry ON media_previews (expires_at);

CREATE TABLE media_thumbnails (
  hash TEXT NOT NULL REFERENCES media_blobs (hash), -- the original's content
  width INTEGER NOT NULL,                -- pixels of the box that was asked for
  height INTEGER NOT NULL,               -- pixels of the box that was asked for
  method TEXT NOT NULL,                  -- crop or scale
  animated INTEGER NOT NULL,             -- 1: with all frames
  content_type TEXT NOT NULL,            -- what was made
  size INTEGER NOT NULL,                 -- bytes
  PRIMARY KEY (hash, width, height, method, animated)
) STRICT, WITHOUT ROWID;

CREATE TABLE media_usage (
  owner TEXT PRIMARY KEY,                -- a local user; empty: all files on disk, thumbnails too
  files INTEGER NOT NULL,                -- how many
  bytes INTEGER NOT NULL                 -- how large together
) STRICT, WITHOUT ROWID;

CREATE TABLE push_actions (
  room_nid INTEGER NOT NULL,             -- the room
  position INTEGER NOT NULL,             -- Position (slot) of the event
  thread_id TEXT NOT NULL,               -- event id of the thread root, '' in the main timeline
  everyone INTEGER NOT NULL,             -- outcome of joined local users who are not named: 0 none, 1 notify, 3 notify and highlight
  sender TEXT NOT NULL,                  -- the event's sender, who is never notified
  named TEXT,                            -- JSON: user id to outcome, for those who differ from everyone
  PRIMARY KEY (room_nid, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE push_own_events (
  user_id TEXT NOT NULL,                 -- a local user
  room_nid INTEGER NOT NULL,             -- the room
  thread_id TEXT NOT NULL,               -- as in push_actions
  position INTEGER NOT NULL,             -- Position of his newest event there
  PRIMARY KEY (user_id, room_nid, thread_id)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE push_rulesets (
  user_id TEXT PRIMARY KEY,              -- a local user who changed something about the predefined rules
  rules TEXT NOT NULL,                   -- JSON: own rules by kind in order, and overrides of predefined ones
  position INTEGER NOT NULL              -- Position of the last change
) STRICT, WITHOUT ROWID;

CREATE TABLE room_aliases (
  alias TEXT PRIMARY KEY,                -- the alias, of this server
  room INTEGER NOT NULL,                 -- room NID that it points to
  creator TEXT NOT NULL,                 -- user id of who made it, and may delete it
  created_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE INDEX room_aliases_by_room ON room_aliases (room);

CREATE TABLE room_blocked (
  room_id TEXT PRIMARY KEY,              -- a room that nobody here may enter, known or not
  blocked_by TEXT NOT NULL,              -- the administrator
  blocked_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE room_blocks (
  nid INTEGER PRIMARY KEY,               -- NID of the state block
  size INTEGER NOT NULL,                 -- number of entries
  hash BLOB,                             -- first 8 bytes of the body's SHA-256, for blocks of 64 entries and more
  body BLOB NOT NULL                     -- sorted (type, key, event) NIDs, columnar delta varints
) STRICT;

CREATE INDEX room_blocks_by_hash ON room_blocks (hash) WHERE hash IS NOT NULL;

CREATE TABLE room_directory (
  room INTEGER PRIMARY KEY               -- NID of a room that is shown in the published directory
) STRICT;

CREATE TABLE room_edges (
  parent INTEGER NOT NULL,               -- event NID of a prev event
  child INTEGER NOT NULL,                -- event NID of the event that names it
  PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_erased_senders (
  user INTEGER PRIMARY KEY               -- key NID of a user who wanted to be erased
) STRICT;

CREATE TABLE room_event_json (
  nid INTEGER PRIMARY KEY,               -- event NID
  client TEXT NOT NULL,                  -- canonical JSON of the members that clients see; redacted while a redaction is in force
  rest TEXT NOT NULL                     -- canonical JSON of the other members, without auth_events and prev_events if room_events has prev
) STRICT;

CREATE TABLE room_events (
  nid INTEGER PRIMARY KEY,               -- NID, above those of all its auth events
  event_id ANY NOT NULL UNIQUE,          -- the id: a URL-safe hash as its 32 bytes, any other id as text
  room INTEGER NOT NULL,                 -- room NID
  type INTEGER NOT NULL,                 -- type NID
  state_key INTEGER NOT NULL,            -- key NID; 0: not a state event
  sender INTEGER NOT NULL,               -- key NID of the sender
  ts INTEGER NOT NULL,                   -- origin_server_ts, ms
  depth INTEGER NOT NULL,                -- depth, at most 2^53-1
  flags INTEGER NOT NULL,                -- 1 outlier, 2 rejected, 4 soft-failed, 8 auth rules read more of this member event than its membership,
                                         -- 16 the state before it was told by another server
  membership INTEGER NOT NULL,           -- of a member event: 1 invite, 2 join, 3 knock, 4 leave, 5 ban; 0: none
  snapshot INTEGER NOT NULL,             -- snapshot NID of the state before it; 0: unknown (an outlier)
  state_after INTEGER NOT NULL,          -- snapshot NID of the state after it; 0: the same as before
  redacted_by INTEGER NOT NULL,          -- event NID of the redaction in force; 0: none
  slot INTEGER,                          -- place in the room's order: a Position; NULL: in no timeline
  live INTEGER,                          -- 1: the slot is its own Position; 0: it was filled in before the event of that slot
  auth BLOB NOT NULL,                    -- NIDs of its auth events in the order cited, as zigzag-delta varints
  prev BLOB                              -- NIDs of its prev events likewise; NULL: the JSON names them, and the auth events
) STRICT;

CREATE INDEX room_events_by_time ON room_events (room, ts, slot, live, depth, nid) WHERE slot IS NOT NULL;

CREATE INDEX room_events_partial ON room_events (room, nid) WHERE flags & 32 != 0;

CREATE INDEX room_events_timeline ON room_events (room, slot, live, depth) WHERE slot IS NOT NULL;

CREATE TABLE room_extremities (
  room INTEGER NOT NULL,                 -- room NID
  event INTEGER NOT NULL,                -- event NID of a forward extremity
  PRIMARY KEY (room, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_garbage (
  kind INTEGER NOT NULL,                 -- 0: a block, 1: a snapshot
  nid INTEGER NOT NULL,                  -- its NID
  seen_at INTEGER NOT NULL,              -- ms; when a pass first found it unreferenced
  PRIMARY KEY (kind, nid)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_hosts (
  server INTEGER NOT NULL,               -- key NID of a server name
  room INTEGER NOT NULL,                 -- room NID
  from_position INTEGER NOT NULL,        -- Position of the change of state that brought its first joined member
  to_position INTEGER,                   -- Position of the change that took its last one; NULL: it is in the room
  PRIMARY KEY (server, room, from_position)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_hosts_by_opening ON room_hosts (room, from_position, server);

CREATE INDEX room_hosts_by_room ON room_hosts (room, to_position, from_position, server);

CREATE TABLE room_keys (
  nid INTEGER PRIMARY KEY,               -- NID of the text
  key TEXT NOT NULL UNIQUE               -- a state key, user id or server name
) STRICT;

CREATE TABLE room_local_membership (
  user INTEGER NOT NULL,                 -- key NID of a user of this server
  position INTEGER NOT NULL,             -- Position of the transition
  room INTEGER NOT NULL,                 -- room NID
  membership INTEGER NOT NULL,           -- as in room_events
  event INTEGER NOT NULL,                -- event NID of the member event; 0: none stored
  out_of_band INTEGER NOT NULL,          -- 1: not part of the room's state
  forgotten INTEGER NOT NULL,            -- 1: the user forgot the room after this transition
  PRIMARY KEY (user, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_local_membership_by_room ON room_local_membership (user, room, position);

CREATE TABLE room_members (
  user INTEGER NOT NULL,                 -- key NID of the user
  room INTEGER NOT NULL,                 -- room NID
  membership INTEGER NOT NULL,           -- as in room_events, in the room's current state
  local INTEGER NOT NULL,                -- 1: a user of this server
  event INTEGER NOT NULL,                -- event NID of the member event
  PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_members_by_room ON room_members (room, membership, local, event);

CREATE TABLE room_missing (
  room INTEGER NOT NULL,                 -- room NID
  event_id ANY NOT NULL,                 -- prev event that is not stored (a backward extremity lies behind it), as in room_events
  child INTEGER NOT NULL,                -- event NID of the event that names it
  PRIMARY KEY (room, event_id, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_missing_by_child ON room_missing (child);

CREATE TABLE room_numbers (
  kind TEXT PRIMARY KEY,                 -- what is numbered: events
  last INTEGER NOT NULL                  -- numbers up to this one have been given out
) STRICT, WITHOUT ROWID;

CREATE TABLE room_originals (
  nid INTEGER PRIMARY KEY,               -- NID of a redacted event
  redacted_at INTEGER NOT NULL,          -- ms; the row is deleted some days later
  client TEXT NOT NULL,                  -- its client members before the redaction
  rest TEXT NOT NULL                     -- its other members before the redaction
) STRICT;

CREATE INDEX room_originals_by_time ON room_originals (redacted_at);

CREATE TABLE room_out_of_band_events (
  nid INTEGER PRIMARY KEY AUTOINCREMENT, -- its number; event NIDs of out-of-band rows are the negative of it
  room INTEGER NOT NULL,                 -- room NID
  event_id TEXT NOT NULL,                -- its id
  pdu TEXT NOT NULL                      -- the PDU, as canonical JSON
) STRICT;

CREATE INDEX room_out_of_band_events_by_room ON room_out_of_band_events (room);

CREATE TABLE room_partial (
  room INTEGER PRIMARY KEY,              -- room NID
  join_event INTEGER NOT NULL,           -- event NID of the join that began it; events marked partial from it on are to be made whole
  position INTEGER NOT NULL,             -- Position of that join: device list changes behind it are told anew when the room is whole
  joined_via INTEGER NOT NULL,           -- key NID of the resident server that let us in
  since INTEGER NOT NULL,                -- when that was, ms
  attempts INTEGER NOT NULL DEFAULT 0,   -- attempts to make it whole that failed since the last progress
  next_attempt INTEGER NOT NULL DEFAULT 0, -- time of the next one, ms
  failure TEXT                           -- what the last one failed on; NULL: it did not fail
) STRICT;

CREATE TABLE room_partial_results (
  event INTEGER PRIMARY KEY,             -- NID of an event with partial state whose full state is known by now
  room INTEGER NOT NULL,                 -- room NID
  snapshot INTEGER NOT NULL,             -- snapshot NID of the full state before it
  state_after INTEGER NOT NULL,          -- snapshot NID of the full state after it
  told INTEGER NOT NULL,                 -- 1: another server told that state, 0: its prev events lead to it
  reason TEXT                            -- why it is rejected on its full state; NULL: it is not
) STRICT;

CREATE INDEX room_partial_results_by_room ON room_partial_results (room);

CREATE TABLE room_partial_servers (
  room INTEGER NOT NULL,                 -- room NID
  server INTEGER NOT NULL,               -- key NID of a server that was in the room when we joined, as the resident told
  PRIMARY KEY (room, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_redactions (
  target ANY NOT NULL,                   -- id of the event to redact, as in room_events
  redaction INTEGER NOT NULL,            -- event NID of the redaction
  PRIMARY KEY (target, redaction)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_relations (
  parent ANY NOT NULL,                   -- id of the event related to, as in room_events
  rel_type TEXT NOT NULL,                -- rel_type of the relation
  child INTEGER NOT NULL,                -- event NID of the event with the relation
  PRIMARY KEY (parent, rel_type, child)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_rooms (
  nid INTEGER PRIMARY KEY,               -- NID of the room
  room_id TEXT NOT NULL UNIQUE,          -- its id
  version TEXT NOT NULL,                 -- room version
  creators TEXT NOT NULL,                -- JSON list of user ids: sender of the create event, then additional creators
  federate INTEGER NOT NULL,             -- 0: m.federate of the create event is false
  create_event INTEGER NOT NULL,         -- event NID of the create event
  snapshot INTEGER NOT NULL,             -- snapshot NID of the current state; 0: only outliers are known
  joined INTEGER NOT NULL DEFAULT 0,     -- members joined in the current state
  invited INTEGER NOT NULL DEFAULT 0,    -- members invited in the current state
  begins INTEGER NOT NULL DEFAULT 0,     -- Position of the join that replaced what was known before; 0: none did
  last_position INTEGER NOT NULL DEFAULT 0 -- Position of the room's newest live event or state change
) STRICT;

CREATE INDEX room_rooms_by_change ON room_rooms (last_position);

CREATE TABLE room_servers (
  room INTEGER NOT NULL,                 -- room NID
  server INTEGER NOT NULL,               -- key NID of a server name
  joined INTEGER NOT NULL,               -- its joined members in the current state, at least 1
  PRIMARY KEY (room, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_snapshots (
  nid INTEGER PRIMARY KEY,               -- NID of the snapshot; 1 is the empty state
  hash BLOB,                             -- first 8 bytes of the list's SHA-256, for results of resolutions
  blocks BLOB NOT NULL                   -- block NIDs, oldest first, later ones override; zigzag-delta varints
) STRICT;

CREATE INDEX room_snapshots_by_hash ON room_snapshots (hash) WHERE hash IS NOT NULL;

CREATE TABLE room_state (
  room INTEGER NOT NULL,                 -- room NID
  type INTEGER NOT NULL,                 -- type NID
  state_key INTEGER NOT NULL,            -- key NID
  event INTEGER NOT NULL,                -- event NID in the room's current state
  PRIMARY KEY (room, type, state_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_state_history (
  room INTEGER NOT NULL,                 -- room NID
  position INTEGER NOT NULL,             -- Position of the change
  snapshot INTEGER NOT NULL,             -- snapshot NID of the current state from then on
  PRIMARY KEY (room, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_stripped (
  user INTEGER NOT NULL,                 -- key NID, as in room_local_membership
  position INTEGER NOT NULL,             -- as in room_local_membership
  body TEXT NOT NULL,                    -- JSON list of stripped state events, as they came with an out-of-band membership
  PRIMARY KEY (user, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_transactions (
  event INTEGER PRIMARY KEY,             -- event NID
  device TEXT NOT NULL,                  -- id of the sending device
  transaction_id TEXT NOT NULL           -- transaction id under which it sent the event
) STRICT;

CREATE TABLE room_types (
  nid INTEGER PRIMARY KEY,               -- NID of the type
  type TEXT NOT NULL UNIQUE              -- an event type
) STRICT;

CREATE TABLE room_verdicts (
  event INTEGER PRIMARY KEY,             -- NID of a rejected or soft-failed event
  reason TEXT NOT NULL                   -- what it failed on
) STRICT;

CREATE TABLE room_whole (
  room INTEGER PRIMARY KEY,              -- NID of a room that was partial and is no more
  began INTEGER NOT NULL,                -- Position of the join that made it partial
  position INTEGER NOT NULL              -- Position at which its state became whole
) STRICT;

CREATE TABLE search_events (
  nid INTEGER PRIMARY KEY,               -- event NID
  room INTEGER NOT NULL,                 -- room NID
  slot INTEGER NOT NULL,                 -- place in the room's order, as in room_events
  live INTEGER NOT NULL,                 -- as in room_events
  depth INTEGER NOT NULL,                -- as in room_events
  edit INTEGER NOT NULL                  -- NID of the edit whose words are indexed; 0: its own are
) STRICT;

CREATE INDEX search_events_by_edit ON search_events (edit) WHERE edit > 0;

CREATE INDEX search_events_by_room ON search_events (room, slot);

CREATE VIRTUAL TABLE search_text USING fts5(
  body, name, topic, room,
  content = '', contentless_delete = 1,
  tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
);

CREATE TABLE sender_destinations (
  server TEXT PRIMARY KEY,               -- a server that lacks something, or did a moment ago
  cursor INTEGER NOT NULL,               -- rows of sender_outbox up to this Position are done with, or in the transaction
  txn_id TEXT,                           -- transaction under way; NULL: none
  txn_ts INTEGER,                        -- ms; when it was made
  txn_events TEXT,                       -- JSON list of its event NIDs
  txn_edus TEXT,                         -- JSON list of its EDUs
  txn_body TEXT                          -- its whole body, once an attempt to send it failed
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_device_chains (
  server TEXT NOT NULL,                  -- a server that was told of changes
  user_id TEXT NOT NULL,                 -- of this user's devices
  stream_id INTEGER NOT NULL,            -- stream id of the last one
  PRIMARY KEY (server, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_device_changes (
  server TEXT NOT NULL,                  -- whom it goes to
  user_id TEXT NOT NULL,                 -- user of this server
  device_id TEXT NOT NULL,               -- his device that changed; empty: his cross-signing keys
  position INTEGER NOT NULL,             -- of the change; the stream id that other servers see
  PRIMARY KEY (server, user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sender_device_changes_by_position ON sender_device_changes (server, position);

CREATE TABLE sender_exceptions (
  server TEXT NOT NULL,                  -- a server that was not in the room before the event, and gets it too
  position INTEGER NOT NULL,             -- Position of the event in the log
  event INTEGER NOT NULL,                -- event NID: an invite, kick, ban or its end, of a user of that server
  PRIMARY KEY (server, position)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE sender_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  settled INTEGER NOT NULL,              -- whoever has no row in sender_destinations has all up to this Position
  trimmed INTEGER NOT NULL               -- rows of sender_outbox up to this Position were deleted
) STRICT;

CREATE TABLE sender_to_device (
  server TEXT NOT NULL,                  -- whom it goes to
  position INTEGER NOT NULL,             -- order of the messages
  content TEXT NOT NULL,                 -- JSON: content of the EDU
  PRIMARY KEY (server, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE syncapi_thread_events (
  room INTEGER NOT NULL,                 -- room NID
  slot INTEGER NOT NULL,                 -- place of the event in the room's order, as in room_events
  live INTEGER NOT NULL,                 -- as in room_events
  depth INTEGER NOT NULL,                -- as in room_events
  event INTEGER NOT NULL,                -- event NID of an event with an m.thread relation
  root TEXT NOT NULL,                    -- id of the event that it relates to
  PRIMARY KEY (room, slot, live, depth, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_accepted_terms (
  user_id TEXT NOT NULL,                 -- who accepted
  document TEXT NOT NULL,                -- id of the document in the configuration
  version TEXT NOT NULL,                 -- the version that was shown
  accepted_at INTEGER NOT NULL,          -- ms
  PRIMARY KEY (user_id, document, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_access_tokens (
  id INTEGER PRIMARY KEY,                -- row id, named in Requester
  hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the token: the token itself is never stored
  user_id TEXT NOT NULL,                 -- whose
  device_id TEXT NOT NULL,               -- of which device
  created_at INTEGER NOT NULL,           -- ms
  expires_at INTEGER,                    -- ms; NULL: never
  refresh_id INTEGER                     -- the refresh token given out with it
, issued_by TEXT) STRICT;

CREATE INDEX userapi_access_tokens_device ON userapi_access_tokens (user_id, device_id);

CREATE INDEX userapi_access_tokens_issued ON userapi_access_tokens (issued_by) WHERE issued_by IS NOT NULL;

CREATE INDEX userapi_access_tokens_refresh ON userapi_access_tokens (refresh_id);

CREATE TABLE userapi_account_data (
  user_id TEXT NOT NULL,                 -- owner
  room_id TEXT NOT NULL,                 -- '' global
  type TEXT NOT NULL,                    -- event type
  content TEXT NOT NULL,                 -- JSON object; {} is also how a deletion looks
  position INTEGER NOT NULL,             -- Position of the last change
  PRIMARY KEY (user_id, room_id, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX userapi_account_data_position ON userapi_account_data (user_id, position);

CREATE INDEX userapi_ignore_lists ON userapi_account_data (user_id)
  WHERE room_id = '' AND type = 'm.ignored_user_list';

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

CREATE TABLE userapi_bindings (
  user_id TEXT NOT NULL,                 -- whose identifier it is
  medium TEXT NOT NULL,                  -- email or msisdn
  address TEXT NOT NULL,                 -- in canonical form
  id_server TEXT NOT NULL,               -- the identity server that lists it
  PRIMARY KEY (user_id, medium, address, id_server)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_cross_signing_keys (
  user_id TEXT NOT NULL,                 -- owner
  usage TEXT NOT NULL CHECK (usage IN ('master', 'self_signing', 'user_signing')), -- which of the three
  public_key TEXT NOT NULL,              -- unpadded base64: its key id
  key TEXT NOT NULL,                     -- JSON as uploaded
  PRIMARY KEY (user_id, usage)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_dehydrated_devices (
  user_id TEXT PRIMARY KEY,              -- owner: one each
  device_id TEXT NOT NULL,               -- its device
  device_data TEXT NOT NULL              -- JSON, encrypted by the client
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_device_keys (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  keys TEXT NOT NULL,                    -- JSON as uploaded, with its own signatures
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_device_list_changes (
  position INTEGER PRIMARY KEY,          -- Position of the change
  user_id TEXT NOT NULL,                 -- whose device keys, device names or cross-signing keys changed
  viewer TEXT                            -- the only one who sees it (he signed that user's key); NULL: everyone
) STRICT;

CREATE INDEX userapi_device_list_changes_user ON userapi_device_list_changes (user_id, position);

CREATE TABLE userapi_devices (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- chosen by client or server
  display_name TEXT,                     -- as the user named it
  created_at INTEGER NOT NULL,           -- ms
  last_seen_at INTEGER,                  -- ms; written in batches
  last_seen_ip TEXT,                     -- address of the last request
  dehydrated INTEGER NOT NULL DEFAULT 0, last_seen_agent TEXT, -- 1: a device without client (MSC3814)
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_directory (
  id INTEGER PRIMARY KEY,                -- row of userapi_directory_text
  user_id TEXT NOT NULL UNIQUE           -- a user of this server, or of another with whom a room is or was shared
) STRICT;

CREATE TABLE userapi_directory_rooms (
  room INTEGER PRIMARY KEY,              -- room NID
  after TEXT NOT NULL                    -- members up to this place in their order are taken in
) STRICT;

CREATE VIRTUAL TABLE userapi_directory_text USING fts5(
  words,
  content = '', contentless_delete = 1,
  tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
);

CREATE TABLE userapi_fallback_keys (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  algorithm TEXT NOT NULL,               -- one key for each
  key_id TEXT NOT NULL,                  -- the part behind the colon
  key TEXT NOT NULL,                     -- JSON
  used INTEGER NOT NULL DEFAULT 0,       -- 1: was given out
  PRIMARY KEY (user_id, device_id, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_filters (
  user_id TEXT NOT NULL,                 -- owner
  filter_id INTEGER NOT NULL,            -- 1, 2, … per user
  filter TEXT NOT NULL,                  -- JSON as uploaded
  PRIMARY KEY (user_id, filter_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX userapi_filters_same ON userapi_filters (user_id, filter);

CREATE TABLE userapi_held_lists (
  user_id TEXT PRIMARY KEY               -- a user of another server whose devices or keys have changed
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

CREATE TABLE userapi_key_backups (
  user_id TEXT NOT NULL,                 -- owner
  version INTEGER NOT NULL,              -- 1, 2, …; never given twice
  algorithm TEXT NOT NULL,               -- m.megolm_backup.v1.curve25519-aes-sha2, …
  auth_data TEXT NOT NULL,               -- JSON
  etag INTEGER NOT NULL DEFAULT 0,       -- changes with the stored keys
  deleted INTEGER NOT NULL DEFAULT 0,    -- 1: gone, kept for the version number
  PRIMARY KEY (user_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_login_tokens (
  hash BLOB PRIMARY KEY,                 -- SHA-256 of a token for m.login.token, good for one login
  user_id TEXT NOT NULL,                 -- who is logged in with it
  expires_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_notice_rooms (
  user_id TEXT PRIMARY KEY,              -- a user of this server
  room_id TEXT NOT NULL                  -- his server notices room
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

CREATE INDEX userapi_one_time_keys_free ON userapi_one_time_keys (user_id, device_id, algorithm, id)
  WHERE claimed_at IS NULL;

CREATE UNIQUE INDEX userapi_one_time_keys_name ON userapi_one_time_keys (user_id, device_id, algorithm, key_id);

CREATE TABLE userapi_openid_tokens (
  hash BLOB PRIMARY KEY,                 -- SHA-256 of the token
  user_id TEXT NOT NULL,                 -- who he is
  expires_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;

CREATE INDEX userapi_openid_tokens_by_expiry ON userapi_openid_tokens (expires_at);

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

CREATE TABLE userapi_presence (
  user_id TEXT PRIMARY KEY,              -- whose
  state TEXT NOT NULL CHECK (state IN ('online', 'unavailable', 'offline')), -- as others see it
  status_msg TEXT,                       -- the user's own words
  last_active_at INTEGER NOT NULL,       -- ms
  position INTEGER NOT NULL              -- Position of the last change
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_profiles (
  user_id TEXT NOT NULL,                 -- a user of this server
  field TEXT NOT NULL,                   -- displayname, avatar_url, m.tz or a custom name
  value TEXT NOT NULL,                   -- JSON
  position INTEGER NOT NULL,             -- Position of the last change
  PRIMARY KEY (user_id, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_rate_overrides (
  user_id TEXT PRIMARY KEY,              -- a user with limits of his own
  per_second INTEGER NOT NULL,           -- messages a second; 0 with burst 0: he is not limited at all
  burst INTEGER NOT NULL                 -- messages at once
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

CREATE TABLE userapi_refresh_tokens (
  id INTEGER PRIMARY KEY,                -- row id
  hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the token
  user_id TEXT NOT NULL,                 -- whose
  device_id TEXT NOT NULL,               -- of which device
  parent_id INTEGER                      -- the token it replaces, which lives until this pair is used; NULL: none left
) STRICT;

CREATE INDEX userapi_refresh_tokens_device ON userapi_refresh_tokens (user_id, device_id);

CREATE INDEX userapi_refresh_tokens_parent ON userapi_refresh_tokens (parent_id);

CREATE TABLE userapi_registration_tokens (
  token TEXT PRIMARY KEY,                -- what a new user must know
  uses_allowed INTEGER,                  -- how many accounts may be made with it; NULL: any number
  uses INTEGER NOT NULL DEFAULT 0,       -- how many have been
  expires_at INTEGER,                    -- ms; NULL: never
  is_default INTEGER NOT NULL DEFAULT 0  -- 1: made at the first start, because the configuration names none
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_remote_devices (
  user_id TEXT NOT NULL,                 -- owner
  device_id TEXT NOT NULL,               -- device
  display_name TEXT,                     -- as its server tells it
  keys TEXT,                             -- JSON with the owner's signatures only; NULL: a device without keys
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE userapi_remote_signing_keys (
  user_id TEXT NOT NULL,                 -- owner
  usage TEXT NOT NULL CHECK (usage IN ('master', 'self_signing')), -- others are shown to nobody
  public_key TEXT NOT NULL,              -- unpadded base64: its key id
  key TEXT NOT NULL,                     -- JSON with the owner's signatures only
  PRIMARY KEY (user_id, usage)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_reports (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival
  reporter TEXT NOT NULL,                -- user id of who reports
  room_id TEXT,                          -- the room, or that of the event; NULL: a user is reported
  event_id TEXT,                         -- the event; NULL: the room or the user is reported
  user_id TEXT,                          -- the user; NULL: a room or an event is reported
  reason TEXT,                           -- in the reporter's words
  score INTEGER,                         -- how bad, -100 to 0, from older clients
  received_at INTEGER NOT NULL           -- ms
, event_sender TEXT) STRICT;

CREATE TABLE userapi_room_tasks (
  user_id TEXT NOT NULL,                 -- a local user
  task TEXT NOT NULL CHECK (task IN ('profile', 'leave')), -- send the profile to, or leave, every joined room
  PRIMARY KEY (user_id, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_signatures (
  target_user_id TEXT NOT NULL,          -- whose key was signed
  target_key TEXT NOT NULL,              -- a device id or the public key of a cross-signing key
  signer_user_id TEXT NOT NULL,          -- who signed
  signer_key_id TEXT NOT NULL,           -- ed25519:…
  signature TEXT NOT NULL,               -- unpadded base64
  PRIMARY KEY (target_user_id, target_key, signer_user_id, signer_key_id)
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

CREATE TABLE userapi_to_device (
  user_id TEXT NOT NULL,                 -- addressee
  device_id TEXT NOT NULL,               -- his device
  position INTEGER NOT NULL,             -- order of delivery; renewed while more than one response is full
  message TEXT NOT NULL,                 -- JSON {sender, type, content}
  PRIMARY KEY (user_id, device_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE userapi_typing_rooms (
  room_nid INTEGER PRIMARY KEY,          -- a room in which somebody was typing
  room_id TEXT NOT NULL                  -- its id
) STRICT;

CREATE TABLE userapi_validations (
  sid TEXT PRIMARY KEY,                  -- id of the validation session, as the client knows it
  purpose TEXT NOT NULL,                 -- register, password or add: which request asked for it; good for no other
  address TEXT NOT NULL,                 -- e-mail address in canonical form
  client_secret TEXT NOT NULL,           -- what the client chose, and must know to use the session
  token_hash BLOB NOT NULL,              -- SHA-256 of the token in the last mail
  send_attempt INTEGER NOT NULL,         -- highest one that a mail was sent for
  next_link TEXT,                        -- where the browser goes when the address is proven
  created_at INTEGER NOT NULL,           -- ms
  validated_at INTEGER                   -- ms; NULL: not proven yet
) STRICT, WITHOUT ROWID;

CREATE INDEX userapi_validations_age ON userapi_validations (created_at);

CREATE UNIQUE INDEX userapi_validations_client ON userapi_validations (address, client_secret, purpose);
