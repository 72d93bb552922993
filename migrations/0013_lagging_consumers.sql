-- Lagging consumers of the output log: what they have not got through, and how far they are in making their tables anew.

ALTER TABLE bus_consumers ADD COLUMN version INTEGER NOT NULL DEFAULT 0; -- version of what its tables hold
ALTER TABLE bus_consumers ADD COLUMN cursor INTEGER;                     -- where it goes on making them anew; NULL: they are made

CREATE TABLE bus_parked (
  consumer TEXT NOT NULL,                -- name of the consumer
  key TEXT NOT NULL,                     -- what the entry is about; later entries of the same key wait behind it
  position INTEGER NOT NULL,             -- Position of the entry
  topic TEXT NOT NULL,                   -- as in bus_log
  body TEXT NOT NULL,                    -- as in bus_log
  reason TEXT NOT NULL,                  -- why it could not be applied; empty: it waits behind another
  PRIMARY KEY (consumer, key, position)
) STRICT, WITHOUT ROWID;
