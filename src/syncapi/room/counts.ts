/** Unread counts of a joined room (C-S API v1.19 §Receiving notifications, §Threading). */
import type { Pass } from '../pass.ts';
import type { UnreadCount } from '../sources.ts';
import type { RoomView } from './room-view.ts';

const countText = ({ notifications, highlights }: UnreadCount): string =>
  `{"notification_count":${notifications},"highlight_count":${highlights}}`;

/** `unread_notifications`, and by thread when the filter asks for it; members of the room's object. */
export function composeCounts(pass: Pass, view: RoomView): string {
  const { main, threads } = pass.parts.counts.of(pass.snapshot, pass.head, view.room.nid, pass.user, view.row);
  if (!pass.request.filter.room.timeline.unreadThreadNotifications) {
    let { notifications, highlights } = main;
    for (const thread of threads.values()) {
      notifications += thread.notifications;
      highlights += thread.highlights;
    }
    return `"unread_notifications":${countText({ notifications, highlights })}`;
  }
  const text = `"unread_notifications":${countText(main)}`;
  // "If no threads have notification counts, this whole object can be omitted."
  if (threads.size === 0) return text;
  const byThread = [...threads].map(([root, count]) => `${JSON.stringify(root)}:${countText(count)}`);
  return `${text},"unread_thread_notifications":{${byThread.join(',')}}`;
}
