-- The user directory: under which words a user may be found. Whether he may be shown is asked when somebody searches. All
-- of it can be made anew from accounts, profiles and rooms.

-- The words of a user id and of the names that the user goes by, under the id of userapi_directory.
CREATE VIRTUAL TABLE userapi_directory_text USING fts5(
  words,
  content = '', contentless_delete = 1,
  tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
);

CREATE TABLE userapi_directory (
  id INTEGER PRIMARY KEY,                -- row of userapi_directory_text
  user_id TEXT NOT NULL UNIQUE           -- a user of this server, or of another with whom a room is or was shared
) STRICT;

-- Rooms whose members are still to be taken in, after a join or another change of many members at once.
CREATE TABLE userapi_directory_rooms (
  room INTEGER PRIMARY KEY,              -- room NID
  after TEXT NOT NULL                    -- members up to this place in their order are taken in
) STRICT;
