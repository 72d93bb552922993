-- Full-text search over what people wrote. All of it can be made anew from the rooms' events.

-- The words of an event, under its NID: body of messages, name and topic of rooms, and one word that names the room
-- (r and its NID). The texts themselves are not kept here; words come separated by blanks, folded and cut beforehand.
CREATE VIRTUAL TABLE search_text USING fts5(
  body, name, topic, room,
  content = '', contentless_delete = 1,
  tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
);

CREATE TABLE search_events (
  nid INTEGER PRIMARY KEY,               -- event NID
  room INTEGER NOT NULL,                 -- room NID
  slot INTEGER NOT NULL,                 -- place in the room's order, as in room_events
  live INTEGER NOT NULL,                 -- as in room_events
  depth INTEGER NOT NULL,                -- as in room_events
  edit INTEGER NOT NULL                  -- NID of the edit whose words are indexed; 0: its own are
) STRICT;
CREATE INDEX search_events_by_room ON search_events (room, slot);
CREATE INDEX search_events_by_edit ON search_events (edit) WHERE edit > 0;
