/** Rooms, sync and application services. */
import { roomVersions } from '../../matrix/room-versions.ts';
import { choice, duration, flag, integer, list, optional, section, text } from '../field.ts';

export const rooms = section('Rooms.', {
  default_version: choice(
    [...roomVersions.values()].map(({ version }) => version),
    {
      doc: 'Room version of new rooms when the client names none.',
      default: '12',
    },
  ),
  redaction_retention: duration({
    doc: 'How long the original of a redacted event is kept before it is deleted for good.',
    default: '7d',
  }),
  retention: section('How long the history of rooms is kept. State (names, members, rights) is always kept.', {
    honoured: flag({
      doc: 'Whether a room may say how long its messages are kept (m.room.retention): older ones are deleted for good.',
      default: true,
    }),
    default: optional(duration({ doc: 'For rooms that say nothing. Without it: for ever.', example: '365d' })),
    shortest: duration({ doc: 'No room gets less, whatever it says.', default: '1d' }),
    longest: optional(duration({ doc: 'No room that says something gets more.', example: '3650d' })),
  }),
  public_list_without_token: flag({
    doc: 'Whether the published room directory is shown to anyone, not only to who is logged in.',
    default: false,
  }),
  public_list_over_federation: flag({
    doc: 'Whether the published room directory is shown to other servers.',
    default: true,
  }),
});

export const appservices = list(text({ doc: '', accepts: 'the path of a registration file' }), {
  doc:
    'Registration files of application services (bridges, bots) in the standard YAML form. Relative paths count from ' +
    'the working directory. Their addresses may be private ones.',
  default: [],
});

export const sync = section('The sync endpoint.', {
  linear_max_entries: integer({
    doc:
      'Up to this many changes since its last sync a client is answered by walking them one by one; behind more, by ' +
      'looking its rooms up. Both give the same answer.',
    default: 1024,
    min: 0,
    max: 65536,
  }),
  timeline_limit: section('Events per room and response.', {
    default: integer({ doc: "When the client's filter names no limit.", default: 10, min: 1 }),
    max: integer({ doc: "The most that a client's filter may ask for.", default: 1000, min: 1 }),
  }),
  initial_timeline: choice(['arrival', 'graph'], {
    doc:
      'How events follow each other in the first sync of a client. arrival: as they came to this server, as in all other ' +
      'answers; paging back from there meets every event once. graph: as their authors saw them, which some other ' +
      'servers do; paging back may then bring an event again, and does when the timeline held the whole room.',
    default: 'arrival',
  }),
  forgotten_leaves: flag({
    doc:
      "Whether a user's other clients are told that he has left a room which he has forgotten at once. The specification " +
      'keeps forgotten rooms out of every sync; they then look as if he were still there.',
    default: false,
  }),
});
