-- Which servers were in which rooms, and when: whom an event of ours, or news of our users, goes to.

CREATE TABLE room_hosts (
  server INTEGER NOT NULL,               -- key NID of a server name
  room INTEGER NOT NULL,                 -- room NID
  from_position INTEGER NOT NULL,        -- Position of the change of state that brought its first joined member
  to_position INTEGER,                   -- Position of the change that took its last one; NULL: it is in the room
  PRIMARY KEY (server, room, from_position)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_hosts_by_room ON room_hosts (room, to_position, from_position, server);
CREATE INDEX room_hosts_by_opening ON room_hosts (room, from_position, server);

-- Rooms that are there already: who is joined counts as joined since the first member of this server was.
INSERT INTO room_hosts (server, room, from_position, to_position)
  SELECT server, room,
    coalesce((SELECT min(l.position) FROM room_local_membership l WHERE l.room = s.room AND l.membership = 2), 0), NULL
  FROM room_servers s;
