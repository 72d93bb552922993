-- Local room aliases and the published room directory.

CREATE TABLE room_aliases (
  alias TEXT PRIMARY KEY,                -- the alias, of this server
  room INTEGER NOT NULL,                 -- room NID that it points to
  creator TEXT NOT NULL,                 -- user id of who made it, and may delete it
  created_at INTEGER NOT NULL            -- ms
) STRICT, WITHOUT ROWID;
CREATE INDEX room_aliases_by_room ON room_aliases (room);

CREATE TABLE room_directory (
  room INTEGER PRIMARY KEY               -- NID of a room that is shown in the published directory
) STRICT;
