/**
 * GET /sync, and the same answers pushed over a WebSocket, one frame a response (C-S API v1.19 §Syncing). Both check
 * their query alike and ask the same engine.
 */
import * as v from 'valibot';
import type { Requester } from '../../http/index.ts';
import { route, socketRoute, type JsonText, type Route, type SocketRow } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { emptyFilter, type Filter, parseFilter } from '../../matrix/filters.ts';
import { parseJson } from '../../matrix/json.ts';
import type { Database, Position, Shown } from '../../storage/index.ts';
import { parseSyncToken, type StateAfterName, type SyncApi, type SyncRequest } from '../../syncapi/index.ts';

export interface SyncRouteParts {
  readonly db: Database;
  readonly sync: SyncApi;
}

const flag = v.pipe(
  v.picklist(['true', 'false']),
  v.transform((text) => text === 'true'),
);
const query = v.object({
  filter: v.optional(v.string()),
  since: v.optional(v.string()),
  full_state: v.optional(flag, 'false'),
  set_presence: v.optional(v.picklist(['offline', 'online', 'unavailable']), 'online'),
  timeout: v.optional(v.pipe(v.string(), v.regex(/^\d{1,12}$/), v.transform(Number)), '0'),
  use_state_after: v.optional(flag, 'false'),
  'org.matrix.msc4222.use_state_after': v.optional(flag, 'false'),
});
type Query = v.InferOutput<typeof query>;

/** What differs between one response and the next over the same connection. */
interface Turn {
  readonly since: Position;
  readonly received: Position;
  readonly timeout: number;
  readonly fullState: boolean;
  readonly shown: Shown;
}

export function syncRoutes(parts: SyncRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: '/_matrix/client/v3/sync',
      aliases: ['/_matrix/client/r0/sync'],
      auth: 'guest',
      rate: 'none',
      query,
      handle: async (context) => {
        const { timeout, full_state: fullState } = context.query;
        const since = parseSyncToken(context.query.since);
        const turn: Turn = { since, received: since, timeout, fullState, shown: context.shown };
        return (await parts.sync.engine.sync(requestOf(parts, context, turn))).body;
      },
    }),
  ];
}

/** The longest time without a frame, ms: a response without news tells the client that all is well. */
const pushInterval = 60_000;

export function syncSockets(parts: SyncRouteParts): SocketRow[] {
  return [
    socketRoute({
      path: '/_matrix/client/unstable/org.neurite.sync/ws',
      auth: 'guest',
      query,
      open: async (context, socket) => {
        const { engine } = parts.sync;
        let since = parseSyncToken(context.query.since);
        let fullState = context.query.full_state;
        // A frame that was sent may still get lost: the client says which one it has by sending its `next_batch`.
        let received = since;
        socket.onMessage((text) => {
          if (/^\d{1,16}$/.test(text) && Number(text) <= since) received = parseSyncToken(text);
        });
        while (!context.signal.aborted) {
          const shown = parts.db.shown();
          const timeout = context.query.timeout || pushInterval;
          const turn: Turn = { since, received, timeout, fullState, shown };
          const { body, nextBatch } = await engine.sync(requestOf(parts, context, turn));
          if (context.signal.aborted) return;
          await shown.durable();
          await socket.send(textOf(body));
          since = nextBatch;
          fullState = false;
        }
      },
    }),
  ];
}

const textOf = ({ chunks }: JsonText): string => chunks.join('');

interface Asking {
  readonly requester: Requester;
  readonly query: Query;
  readonly signal: AbortSignal;
}

function requestOf(parts: SyncRouteParts, context: Asking, turn: Turn): SyncRequest {
  const { requester, query: asked } = context;
  return {
    user: requester.userId,
    deviceId: requester.deviceId,
    ...turn,
    filter: filterOf(parts, requester, asked.filter),
    stateAfter: stateAfterOf(asked),
    presence: asked.set_presence,
    // Made on first use: most requests end without waiting.
    get signal() {
      return context.signal;
    },
  };
}

/** "Answer under the name asked." */
function stateAfterOf(asked: Query): StateAfterName | undefined {
  if (asked.use_state_after) return 'state_after';
  return asked['org.matrix.msc4222.use_state_after'] ? 'org.matrix.msc4222.state_after' : undefined;
}

/** "The server will detect whether it is an ID or a JSON object by whether the first character is a "{"." */
function filterOf({ db, sync }: SyncRouteParts, { userId }: Requester, text: string | undefined): Filter {
  if (text === undefined || text === '') return emptyFilter;
  const inline = text.startsWith('{');
  const json = inline ? parseJson(text) : db.read((snapshot) => sync.userData.filter(snapshot, userId, text));
  if (json === undefined) {
    throw inline ? matrixError.notJson('The filter is not JSON') : matrixError.invalidParam('There is no such filter');
  }
  const filter = parseFilter(json);
  if (!filter.ok) throw matrixError.badJson(filter.error);
  return filter.value;
}
