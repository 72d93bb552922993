-- The roomserver's tables: numeric ids, events, state, rooms, memberships. Numeric ids (NIDs) start at 1; 0 means none.

CREATE TABLE room_types (
  nid INTEGER PRIMARY KEY,               -- NID of the type
  type TEXT NOT NULL UNIQUE              -- an event type
) STRICT;
INSERT INTO room_types (nid, type) VALUES
  (1, 'm.room.create'), (2, 'm.room.member'), (3, 'm.room.power_levels'), (4, 'm.room.join_rules'),
  (5, 'm.room.history_visibility'), (6, 'm.room.third_party_invite'), (7, 'm.room.redaction'), (8, 'm.room.message'),
  (9, 'm.room.encrypted'), (10, 'm.room.name'), (11, 'm.room.topic'), (12, 'm.room.avatar'),
  (13, 'm.room.canonical_alias'), (14, 'm.room.encryption'), (15, 'm.room.guest_access'), (16, 'm.reaction'),
  (17, 'm.room.tombstone'), (18, 'm.space.child'), (19, 'm.space.parent'), (20, 'm.room.aliases'),
  (21, 'm.room.server_acl'), (22, 'm.room.pinned_events');

CREATE TABLE room_keys (
  nid INTEGER PRIMARY KEY,               -- NID of the text
  key TEXT NOT NULL UNIQUE               -- a state key, user id or server name
) STRICT;
INSERT INTO room_keys (nid, key) VALUES (1, '');

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
CREATE INDEX room_events_timeline ON room_events (room, slot, live, depth) WHERE slot IS NOT NULL;

CREATE TABLE room_event_json (
  nid INTEGER PRIMARY KEY,               -- event NID
  client TEXT NOT NULL,                  -- canonical JSON of the members that clients see; redacted while a redaction is in force
  rest TEXT NOT NULL                     -- canonical JSON of the other members, without auth_events and prev_events if room_events has prev
) STRICT;

CREATE TABLE room_originals (
  nid INTEGER PRIMARY KEY,               -- NID of a redacted event
  redacted_at INTEGER NOT NULL,          -- ms; the row is deleted some days later
  client TEXT NOT NULL,                  -- its client members before the redaction
  rest TEXT NOT NULL                     -- its other members before the redaction
) STRICT;
CREATE INDEX room_originals_by_time ON room_originals (redacted_at);

CREATE TABLE room_verdicts (
  event INTEGER PRIMARY KEY,             -- NID of a rejected or soft-failed event
  reason TEXT NOT NULL                   -- what it failed on
) STRICT;

CREATE TABLE room_edges (
  parent INTEGER NOT NULL,               -- event NID of a prev event
  child INTEGER NOT NULL,                -- event NID of the event that names it
  PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_missing (
  room INTEGER NOT NULL,                 -- room NID
  event_id ANY NOT NULL,                 -- prev event that is not stored (a backward extremity lies behind it), as in room_events
  child INTEGER NOT NULL,                -- event NID of the event that names it
  PRIMARY KEY (room, event_id, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_missing_by_child ON room_missing (child);

CREATE TABLE room_extremities (
  room INTEGER NOT NULL,                 -- room NID
  event INTEGER NOT NULL,                -- event NID of a forward extremity
  PRIMARY KEY (room, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE room_blocks (
  nid INTEGER PRIMARY KEY,               -- NID of the state block
  size INTEGER NOT NULL,                 -- number of entries
  hash BLOB,                             -- first 8 bytes of the body's SHA-256, for blocks of 64 entries and more
  body BLOB NOT NULL                     -- sorted (type, key, event) NIDs, columnar delta varints
) STRICT;
CREATE INDEX room_blocks_by_hash ON room_blocks (hash) WHERE hash IS NOT NULL;

CREATE TABLE room_snapshots (
  nid INTEGER PRIMARY KEY,               -- NID of the snapshot; 1 is the empty state
  hash BLOB,                             -- first 8 bytes of the list's SHA-256, for results of resolutions
  blocks BLOB NOT NULL                   -- block NIDs, oldest first, later ones override; zigzag-delta varints
) STRICT;
CREATE INDEX room_snapshots_by_hash ON room_snapshots (hash) WHERE hash IS NOT NULL;
INSERT INTO room_snapshots (nid, hash, blocks) VALUES (1, NULL, x'');

CREATE TABLE room_garbage (
  kind INTEGER NOT NULL,                 -- 0: a block, 1: a snapshot
  nid INTEGER NOT NULL,                  -- its NID
  seen_at INTEGER NOT NULL,              -- ms; when a pass first found it unreferenced
  PRIMARY KEY (kind, nid)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE room_members (
  user INTEGER NOT NULL,                 -- key NID of the user
  room INTEGER NOT NULL,                 -- room NID
  membership INTEGER NOT NULL,           -- as in room_events, in the room's current state
  local INTEGER NOT NULL,                -- 1: a user of this server
  event INTEGER NOT NULL,                -- event NID of the member event
  PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_members_by_room ON room_members (room, membership, local, event);

CREATE TABLE room_servers (
  room INTEGER NOT NULL,                 -- room NID
  server INTEGER NOT NULL,               -- key NID of a server name
  joined INTEGER NOT NULL,               -- its joined members in the current state, at least 1
  PRIMARY KEY (room, server)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE room_stripped (
  user INTEGER NOT NULL,                 -- key NID, as in room_local_membership
  position INTEGER NOT NULL,             -- as in room_local_membership
  body TEXT NOT NULL,                    -- JSON list of stripped state events, as they came with an out-of-band membership
  PRIMARY KEY (user, position)
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

CREATE TABLE room_transactions (
  event INTEGER PRIMARY KEY,             -- event NID
  device TEXT NOT NULL,                  -- id of the sending device
  transaction_id TEXT NOT NULL           -- transaction id under which it sent the event
) STRICT;
