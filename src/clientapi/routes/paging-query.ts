/** Query parameters that the reading endpoints of rooms share. */
import * as v from 'valibot';
import type { RequestContext } from '../../http/index.ts';
import { matrixError } from '../../matrix/errors.ts';
import { type EventFilter, emptyEventFilter, parseEventFilter } from '../../matrix/filters.ts';
import { parseJson } from '../../matrix/json.ts';
import type { Asker } from '../../syncapi/index.ts';

export { direction, flag, positiveNumber, wholeNumber } from '../../http/index.ts';

/** A token; an empty one counts as none. */
export const token = v.optional(
  v.pipe(
    v.string(),
    v.transform((text) => (text === '' ? undefined : text)),
  ),
);

/** The RoomEventFilter of a query. @throws M_NOT_JSON, M_BAD_JSON */
export function filterOf(text: string | undefined): EventFilter {
  if (text === undefined || text === '') return emptyEventFilter;
  const json = parseJson(text);
  if (json === undefined) throw matrixError.notJson('filter is not JSON');
  const filter = parseEventFilter(json);
  if (!filter.ok) throw matrixError.badJson(`filter: ${filter.error}`);
  return filter.value;
}

type Asked = Pick<RequestContext<'guest', unknown, unknown, unknown>, 'requester' | 'shown'>;

/** Who asks, for the reading functions. */
export const askerOf = ({ requester: { userId, deviceId }, shown }: Asked): Asker => ({ userId, deviceId, shown });
