-- Messages to devices that other servers have sent, so that each is delivered once.

CREATE TABLE federation_to_device (
  origin TEXT NOT NULL,                  -- the server that sent it
  message_id TEXT NOT NULL,              -- as that server calls it
  received_at INTEGER NOT NULL,          -- ms
  PRIMARY KEY (origin, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX federation_to_device_age ON federation_to_device (received_at);
