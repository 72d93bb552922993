-- Each user has at most one room in which this server speaks to him.

CREATE TABLE userapi_notice_rooms (
  user_id TEXT PRIMARY KEY,              -- a user of this server
  room_id TEXT NOT NULL                  -- his server notices room
) STRICT, WITHOUT ROWID;
