-- Changes of device lists that came while a room was partial, of users who may be in it (S-S API v1.19 §Device Management).

CREATE TABLE userapi_held_lists (
  user_id TEXT PRIMARY KEY               -- a user of another server whose devices or keys have changed
) STRICT, WITHOUT ROWID;
