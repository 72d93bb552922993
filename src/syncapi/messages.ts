/**
 * `GET /rooms/{roomId}/messages` (C-S API v1.19 §Syncing, message pagination). Pages through the room's one order with
 * tokens shared with /sync.
 */
import { matrixError } from '../matrix/errors.ts';
import type { EventFilter } from '../matrix/filters.ts';
import { admitsAny, admitsEvent } from './event-admission.ts';
import { readFilled } from './gaps.ts';
import { membersOfSenders } from './members-of-senders.ts';
import { type Direction, type Page, type PageQuery, readPage } from './page.ts';
import { parseCut, tokenAfter, tokenBefore } from './place-token.ts';
import { type Asker, type ReadParts, type RoomRead, writeEvents } from './room-read.ts';

export interface MessagesRequest {
  readonly roomId: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** undefined: the client forgot it, which is only told to who may read the room. */
  readonly direction: Direction | undefined;
  readonly limit: number | undefined;
  readonly filter: EventFilter;
}

const limits = { default: 10, max: 1000 };

/** JSON text of the response. @throws M_FORBIDDEN, M_INVALID_PARAM, M_MISSING_PARAM */
export function readMessages(parts: ReadParts, asker: Asker, request: MessagesRequest): Promise<string> {
  const { filter, direction } = request;
  const limit = Math.min(request.limit ?? filter.limit ?? limits.default, limits.max);
  return readFilled(parts, asker, request.roomId, limit, async (read, gaps) => {
    if (direction === undefined) throw matrixError.missingParam('Missing: dir');
    const start = request.from ?? (direction === 'b' ? String(read.access.upTo) : '0');
    const query = { direction, from: parseCut(start), limit, gaps };
    const page = await pageOf(read, request, query, start);
    let text = `{"chunk":[${await writeEvents(read, page.events)}],"start":"${start}"`;
    const end = endOf(direction, page);
    if (end !== undefined) text += `,"end":"${end}"`;
    if (filter.lazyLoadMembers) text += `,"state":[${await writeEvents(read, membersOfSenders(read, page.events))}]`;
    return `${text}}`;
  });
}

async function pageOf(
  read: RoomRead,
  { filter, to }: MessagesRequest,
  wanted: Omit<PageQuery, 'to' | 'admits'>,
  start: string,
): Promise<Page> {
  const query = { ...wanted, to: to === undefined ? undefined : parseCut(to, 'to') };
  if (!admitsAny(filter, read.roomId)) return { events: [], next: undefined };
  return readPage(read, { ...query, admits: (event) => admitsEvent(read, filter, event) }, start);
}

/**
 * "If no further events are available […], this property is omitted": a page that has brought something says where to go
 * on (more may come at the live end of a room, and where a gap is filled), an empty one that there is nothing more.
 */
function endOf(direction: Direction, { events, next }: Page): string | undefined {
  if (next !== undefined) return next.token;
  const last = events.at(-1)?.place;
  if (last === undefined) return undefined;
  return direction === 'f' ? tokenAfter(last) : tokenBefore(last);
}
