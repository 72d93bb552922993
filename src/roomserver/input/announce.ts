/**
 * The last phase: the log. A live accepted event is an entry at its own Position; a change of the current state without
 * one is an entry of its own; so is a back-filled event, in another topic; membership transitions and redactions follow.
 */
import { positionOf, type Phase } from './job.ts';

export const announce: Phase = (tx, job, { stores, append }) => {
  const { event, room } = job;
  const isLive = job.kind === 'live' && job.failure === undefined;
  if (isLive || job.stateChanged) {
    const position = positionOf(tx, job);
    stores.rooms.setLastPosition(tx, room.nid, position);
    if (isLive) {
      append(
        tx,
        {
          topic: 'room.event',
          room: room.nid,
          roomId: room.roomId,
          event: job.nid,
          eventId: event.eventId,
          type: event.type,
          sender: event.sender,
          stateKey: event.stateKey ?? null,
          stateChanged: job.stateChanged,
          ...(job.broughtBy === undefined ? {} : { broughtBy: job.broughtBy }),
        },
        position,
      );
    } else append(tx, { topic: 'room.state', room: room.nid, roomId: room.roomId }, position);
  }
  if (job.kind === 'backfilled' && job.failure === undefined && job.slot !== undefined) {
    append(tx, { topic: 'room.backfilled', room: room.nid, roomId: room.roomId, event: job.nid });
  }
  for (const entry of job.entries) append(tx, entry);
  return undefined;
};
