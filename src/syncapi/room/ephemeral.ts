/** Typing and receipts of a joined room (C-S API v1.19 §Typing Notifications, §Receipts): last values only. */
import { matchesEvent } from '../../matrix/filters.ts';
import { receiptContents } from '../ephemeral-events.ts';
import { roomMarks, type Part, type Pass } from '../pass.ts';
import type { ReceiptValue } from '../sources.ts';
import { startOfTime } from '../token.ts';
import type { RoomView } from './room-view.ts';

export function composeEphemeral(pass: Pass, view: RoomView): Part {
  const filter = pass.request.filter.room.ephemeral;
  const admits = (type: string): boolean => matchesEvent(filter, { type, roomId: view.room.roomId });
  const events: string[] = [];
  const typing = typingUsers(pass, view);
  if (typing !== undefined && admits('m.typing')) {
    events.push(`{"type":"m.typing","content":{"user_ids":${JSON.stringify(typing)}}}`);
  }
  const receipts = changedReceipts(pass, view);
  if (receipts.length > 0 && admits('m.receipt')) {
    events.push(...receiptContents(receipts).map((content) => `{"type":"m.receipt","content":${content}}`));
  }
  // The user's own receipt moves his counts, which ride along, whatever the filter thinks of receipts.
  const own = receipts.some(({ user }) => user === pass.user);
  return { text: `{"events":[${events.join(',')}]}`, notable: events.length > 0 || own };
}

function typingUsers(pass: Pass, view: RoomView): readonly string[] | undefined {
  if ((view.marks & roomMarks.typing) === 0) return undefined;
  const typing = pass.parts.userData.typing(view.room.nid);
  if (typing === undefined) return undefined;
  // To a client that is new to the room an empty list says nothing; SyTest waits for it all the same.
  if (!view.fresh && typing.position <= pass.since) return undefined;
  return typing.users.filter((user) => !pass.ignored.has(user));
}

function changedReceipts(pass: Pass, view: RoomView): readonly ReceiptValue[] {
  if ((view.marks & roomMarks.receipts) === 0) return [];
  const after = view.fresh ? startOfTime : pass.since;
  const receipts = pass.parts.userData.receipts(pass.snapshot, view.room.nid, pass.user, after, pass.head);
  return receipts.filter(({ user }) => !pass.ignored.has(user));
}
