-- Member events that reached a user of this server outside the event graph: invites, answers to knocks, withdrawals,
-- and our users' own knocks and rejections of rooms that we are not in.

CREATE TABLE room_out_of_band_events (
  nid INTEGER PRIMARY KEY AUTOINCREMENT, -- its number; event NIDs of out-of-band rows are the negative of it
  room INTEGER NOT NULL,                 -- room NID
  event_id TEXT NOT NULL,                -- its id
  pdu TEXT NOT NULL                      -- the PDU, as canonical JSON
) STRICT;
CREATE INDEX room_out_of_band_events_by_room ON room_out_of_band_events (room);
