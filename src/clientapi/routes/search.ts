/** `POST /search` (C-S API v1.19 §Server Side Search). */
import * as v from 'valibot';
import { JsonText, route, type Route } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { parseEventFilter } from '../../matrix/filters.ts';
import { readSearch, type ReadParts, type SearchRequest } from '../../syncapi/index.ts';
import { jsonObject, maybe } from './body.ts';
import { askerOf, token } from './paging-query.ts';

export interface SearchParts extends ReadParts {
  /** Resolves when what was said by now can be found. */
  readonly searchIndex: { caughtUp(): Promise<void> };
}

const keys = ['content.body', 'content.name', 'content.topic'] as const;
const contextLimits = { default: 5, max: 50 };
const count = maybe(v.pipe(v.number(), v.safeInteger(), v.minValue(0)));

const criteria = v.object({
  search_term: v.string(),
  keys: maybe(v.array(v.picklist(keys))),
  filter: maybe(jsonObject),
  order_by: maybe(v.picklist(['rank', 'recent'])),
  event_context: maybe(v.object({ before_limit: count, after_limit: count, include_profile: maybe(v.boolean()) })),
  include_state: maybe(v.boolean()),
  groupings: maybe(v.object({ group_by: maybe(v.array(v.object({ key: v.picklist(['room_id', 'sender']) }))) })),
});

export const searchRoutes = (parts: SearchParts): Route[] => [
  route({
    method: 'POST',
    path: '/_matrix/client/v3/search',
    auth: 'user',
    rate: 'read',
    query: v.object({ next_batch: token }),
    body: v.object({ search_categories: v.object({ room_events: v.optional(criteria) }) }),
    handle: async (asked) => {
      const wanted = asked.body.search_categories.room_events;
      if (wanted === undefined) return { search_categories: {} };
      const request = requestOf(wanted, asked.query.next_batch);
      await parts.searchIndex.caughtUp();
      const text = await readSearch(parts, askerOf(asked), request);
      return new JsonText([`{"search_categories":{"room_events":${text}}}`]);
    },
  }),
];

/** @throws M_BAD_JSON */
function requestOf(wanted: v.InferOutput<typeof criteria>, from: string | undefined): SearchRequest {
  const filter = parseEventFilter(wanted.filter ?? {});
  if (!filter.ok) throw matrixError.badJson(`filter: ${filter.error}`);
  const context = wanted.event_context;
  const limit = (asked: number | undefined): number => Math.min(asked ?? contextLimits.default, contextLimits.max);
  return {
    term: wanted.search_term,
    keys: wanted.keys ?? keys,
    orderBy: wanted.order_by ?? 'rank',
    filter: filter.value,
    groupBy: [...new Set((wanted.groupings?.group_by ?? []).map(({ key }) => key))],
    context: context && {
      before: limit(context.before_limit),
      after: limit(context.after_limit),
      profiles: context.include_profile ?? false,
    },
    includeState: wanted.include_state ?? false,
    from,
  };
}
