/** Account data as events, with its filter: global, and of a room (C-S API v1.19 §Client Config). */
import { type EventFilter, matchesEvent } from '../../matrix/filters.ts';
import type { RoomId } from '../../matrix/ids.ts';
import type { Position } from '../../storage/index.ts';
import { roomMarks, type Part, type Pass } from '../pass.ts';
import type { AccountDatum } from '../sources.ts';
import { startOfTime } from '../token.ts';
import type { RoomView } from './room-view.ts';

/** Account data changed since `fresh ? never : since`; `roomId` null: the global one. */
export function accountDataPart(pass: Pass, roomId: RoomId | null, filter: EventFilter, fresh: boolean): Part {
  const after = fresh ? startOfTime : pass.since;
  const stored = pass.parts.userData.accountData(pass.snapshot, pass.user, roomId, after, pass.head);
  const changed = roomId === null ? [...stored, ...pushRules(pass, after)] : stored;
  const admitted = changed.filter(({ type }) => matchesEvent(filter, roomId === null ? { type } : { type, roomId }));
  const events = admitted.map(({ type, content }) => `{"type":${JSON.stringify(type)},"content":${content}}`);
  return { text: `{"events":[${events.join(',')}]}`, notable: events.length > 0 };
}

/** "When a user changes their push rules a `m.push_rules` event is sent"; they are kept elsewhere. */
function pushRules(pass: Pass, after: Position): AccountDatum[] {
  const { pushRules: source } = pass.parts;
  if (after > 0 && source.lastChange(pass.snapshot, pass.user) <= after) return [];
  const content = JSON.stringify({ global: source.ruleset(pass.snapshot, pass.user) });
  return [{ type: 'm.push_rules', content }];
}

const nothing: Part = { text: '{"events":[]}', notable: false };

export const composeRoomAccountData = (pass: Pass, view: RoomView): Part =>
  (view.marks & roomMarks.accountData) === 0 || (pass.initial && !pass.hasAccountData(view.room.roomId))
    ? nothing
    : accountDataPart(pass, view.room.roomId, pass.request.filter.room.accountData, view.fresh);
