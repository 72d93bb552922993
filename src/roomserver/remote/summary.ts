/** Summaries of rooms as other servers tell them: only what the specification names, and only in its types. */
import * as v from 'valibot';
import { parseUserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import { jsonObject } from '../../matrix/schemas.ts';
import type { RoomSummary } from '../query/room-summary.ts';
import { type SpaceChild, validChild } from '../query/space-children.ts';

/** A `RoomSummary`; older servers tell no room version. */
export type ToldSummary = Omit<RoomSummary, 'room_version'> & Partial<Pick<RoomSummary, 'room_version'>>;

/** Longer ones are left out. */
const text = v.fallback(v.optional(v.pipe(v.string(), v.maxLength(20_000))), undefined);
const flag = v.fallback(v.boolean(), false);
const summary = v.object({
  room_id: v.string(),
  num_joined_members: v.fallback(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0),
  world_readable: flag,
  guest_can_join: flag,
  join_rule: v.fallback(v.optional(v.string(), 'public'), 'public'),
  name: text,
  topic: text,
  avatar_url: text,
  canonical_alias: text,
  room_type: text,
  room_version: text,
  encryption: text,
  allowed_room_ids: v.fallback(v.optional(v.array(v.string())), undefined),
});

/** A summary that another server tells; undefined: it is none. */
export function toldSummary(told: unknown): ToldSummary | undefined {
  const parsed = v.safeParse(summary, told);
  if (!parsed.success) return undefined;
  const present = Object.entries(parsed.output).filter(([, value]) => value !== undefined);
  // What is left are the members of the schema that have a value.
  return Object.fromEntries(present) as unknown as ToldSummary;
}

const child = v.object({
  type: v.literal('m.space.child'),
  state_key: v.string(),
  sender: v.string(),
  content: jsonObject,
  origin_server_ts: v.pipe(v.number(), v.safeInteger()),
});

/** The valid ones of `children_state`. */
export const toldChildren = (told: readonly JsonObject[]): SpaceChild[] =>
  told.flatMap((event) => {
    const parsed = v.safeParse(child, event);
    const sender = parsed.success ? parseUserId(parsed.output.sender) : undefined;
    return parsed.success && sender !== undefined ? (validChild({ ...parsed.output, sender }) ?? []) : [];
  });
