/** The objects under `rooms.join`, `rooms.leave`, `rooms.invite` and `rooms.knock`. */
import { asString, memberOf, parseJson } from '../../matrix/json.ts';
import type { LocalMembership } from '../../roomserver/index.ts';
import { clientEvent, contentOf } from '../../roomserver/index.ts';
import type { Compose, Part, Pass } from '../pass.ts';
import { composeRoomAccountData } from './account-data.ts';
import { composeCounts } from './counts.ts';
import { composeEphemeral } from './ephemeral.ts';
import type { RoomView } from './room-view.ts';
import { composeState, memberType } from './state.ts';
import { noSummary, summarise } from './summary.ts';
import { composeTimeline, readTimeline } from './timeline.ts';

/** A room that the user is joined to or has left; undefined when nothing in it is worth an answer. */
export function* composeRoom(pass: Pass, view: RoomView): Compose<Part> {
  const joined = view.section === 'join';
  const read = yield* readTimeline(pass, view);
  const summary = joined ? summarise(pass, view) : noSummary;
  const state = yield* composeState(pass, view, read, summary.heroes);
  const timeline = yield* composeTimeline(pass, view, read);
  const accountData = composeRoomAccountData(pass, view);
  const parts = [timeline, state, accountData, summary.part];
  const stateName = pass.request.stateAfter ?? 'state';
  let text = `{"timeline":${timeline.text},"${stateName}":${state.text},"account_data":${accountData.text}`;
  if (joined) {
    const ephemeral = composeEphemeral(pass, view);
    parts.push(ephemeral);
    text += `,"ephemeral":${ephemeral.text},"summary":${summary.part.text},${composeCounts(pass, view)}`;
  }
  // Rooms that come or go are told of even when the filter leaves nothing of them.
  const notable = view.fresh || !joined || pass.request.fullState || parts.some((part) => part.notable);
  if (notable) pass.request.shown.key(`room:${view.room.nid}`);
  return { text: `${text}}`, notable };
}

/** A leave that is not part of the room's state, because this server is not in the room: only the event, if there is one. */
export function composeOutOfBandLeave(pass: Pass, row: LocalMembership): string {
  const { rooms } = pass.parts;
  const event = row.event === 0 ? undefined : rooms.event(pass.snapshot, row.event);
  const events = event === undefined ? '' : clientEvent(pass.snapshot, rooms, event, pass.view);
  const state = pass.request.stateAfter ?? 'state';
  pass.request.shown.key(`room:${row.room}`);
  return `{"timeline":{"events":[${events}],"limited":false},"${state}":{"events":[]},"account_data":{"events":[]}}`;
}

/** An invite or knock with its stripped state; undefined for an invite that is kept from the user. */
export function composeStripped(pass: Pass, row: LocalMembership): string | undefined {
  const { rooms, userData } = pass.parts;
  const stripped = rooms.strippedState(pass.snapshot, row);
  if (row.membership === 'invite') {
    if (userData.blocksInvites(pass.snapshot, pass.user)) return undefined;
    const inviter = inviterOf(pass, row, stripped);
    // "Servers must not send room invites from ignored users to clients."
    if (inviter !== undefined && pass.ignored.has(inviter)) return undefined;
  }
  pass.request.shown.key(`room:${row.room}`);
  return `{"${row.membership}_state":{"events":[${stripped.join(',')}]}}`;
}

function inviterOf(pass: Pass, row: LocalMembership, stripped: readonly string[]): string | undefined {
  const event = row.event === 0 ? undefined : pass.parts.rooms.event(pass.snapshot, row.event);
  if (event !== undefined && asString(memberOf(contentOf(event), 'membership')) === 'invite') return event.sender;
  for (const text of stripped) {
    const parsed = parseJson(text);
    if (memberOf(parsed, 'type') === memberType && memberOf(parsed, 'state_key') === pass.user) {
      return asString(memberOf(parsed, 'sender'));
    }
  }
  return undefined;
}
