-- Push rules and the facts that unread counts are made of.

CREATE TABLE push_rulesets (
  user_id TEXT PRIMARY KEY,              -- a local user who changed something about the predefined rules
  rules TEXT NOT NULL,                   -- JSON: own rules by kind in order, and overrides of predefined ones
  position INTEGER NOT NULL              -- Position of the last change
) STRICT, WITHOUT ROWID;

-- One row for each live event that notifies anyone here: who is notified is a fact, written once with the event.
-- Most users have the same outcome ("everyone"); those who differ are named.
CREATE TABLE push_actions (
  room_nid INTEGER NOT NULL,             -- the room
  position INTEGER NOT NULL,             -- Position (slot) of the event
  thread_id TEXT NOT NULL,               -- event id of the thread root, '' in the main timeline
  everyone INTEGER NOT NULL,             -- outcome of joined local users who are not named: 0 none, 1 notify, 3 notify and highlight
  sender TEXT NOT NULL,                  -- the event's sender, who is never notified
  named TEXT,                            -- JSON: user id to outcome, for those who differ from everyone
  PRIMARY KEY (room_nid, position)
) STRICT, WITHOUT ROWID;

-- A user's own events mark what lies before them as read.
CREATE TABLE push_own_events (
  user_id TEXT NOT NULL,                 -- a local user
  room_nid INTEGER NOT NULL,             -- the room
  thread_id TEXT NOT NULL,               -- as in push_actions
  position INTEGER NOT NULL,             -- Position of his newest event there
  PRIMARY KEY (user_id, room_nid, thread_id)
) STRICT, WITHOUT ROWID;
