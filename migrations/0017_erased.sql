-- Whose events are shown redacted to who was not in the room when they were sent.

CREATE TABLE room_erased_senders (
  user INTEGER PRIMARY KEY               -- key NID of a user who wanted to be erased
) STRICT;
