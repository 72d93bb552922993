-- E-mail addresses that are being proven, and identifiers that identity servers list.

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
CREATE UNIQUE INDEX userapi_validations_client ON userapi_validations (address, client_secret, purpose);
CREATE INDEX userapi_validations_age ON userapi_validations (created_at);

CREATE TABLE userapi_bindings (
  user_id TEXT NOT NULL,                 -- whose identifier it is
  medium TEXT NOT NULL,                  -- email or msisdn
  address TEXT NOT NULL,                 -- in canonical form
  id_server TEXT NOT NULL,               -- the identity server that lists it
  PRIMARY KEY (user_id, medium, address, id_server)
) STRICT, WITHOUT ROWID;
