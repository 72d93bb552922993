/**
 * Relations between events (C-S API v1.19 §Forming relationships between events, §Event replacements, §Threading,
 * §Reference relations, §Event annotations) as pure rules: what relates to what, which edits count, and what a server
 * tells about children. Looking events up, and leaving out those that a user may not see or ignores, is the caller's.
 */
import type { EventId, UserId } from './ids.ts';
import { parseEventId } from './ids.ts';
import type { JsonObject } from './json.ts';
import { isJsonObject } from './json.ts';
import type { RoomEvent } from './pdu.ts';

export interface Relation {
  readonly relType: string;
  /** The parent. */
  readonly eventId: EventId;
  /** Of annotations. */
  readonly key: string | undefined;
}

/** The parts of an event that relations look at. */
export type RelatedEvent = Pick<
  RoomEvent,
  'eventId' | 'roomId' | 'sender' | 'type' | 'stateKey' | 'content' | 'originServerTs'
>;

/** The relation that an event's content declares; undefined when there is none or it does not fit the schema. */
export const relationOf = (content: JsonObject): Relation | undefined => {
  const relatesTo = content['m.relates_to'];
  if (!isJsonObject(relatesTo)) return undefined;
  const { rel_type: relType, event_id: eventId, key } = relatesTo;
  const parent = typeof eventId === 'string' ? parseEventId(eventId) : undefined;
  if (typeof relType !== 'string' || parent === undefined) return undefined;
  return { relType, eventId: parent, key: typeof key === 'string' ? key : undefined };
};

/** Whether the replacement is valid for the original (§Validity of replacement events). */
export const isValidEdit = (original: RelatedEvent, edit: RelatedEvent): boolean => {
  const relation = relationOf(edit.content);
  return (
    relation?.relType === 'm.replace' &&
    relation.eventId === original.eventId &&
    edit.roomId === original.roomId &&
    edit.sender === original.sender &&
    edit.type === original.type &&
    edit.stateKey === undefined &&
    original.stateKey === undefined &&
    relationOf(original.content)?.relType !== 'm.replace' &&
    // Of an encrypted edit the new content is inside the payload, which only clients can judge.
    (edit.type === 'm.room.encrypted' || isJsonObject(edit.content['m.new_content']))
  );
};

/** Orders edits, the most recent last: by `origin_server_ts`, then by event id. */
export const compareEdits = (
  a: Pick<RelatedEvent, 'originServerTs' | 'eventId'>,
  b: Pick<RelatedEvent, 'originServerTs' | 'eventId'>,
): number => a.originServerTs - b.originServerTs || (a.eventId < b.eventId ? -1 : a.eventId > b.eventId ? 1 : 0);

/** The edit that is bundled with the original; undefined when none is valid. Redacted edits relate to nothing any more. */
export const latestEdit = <E extends RelatedEvent>(original: RelatedEvent, edits: readonly E[]): E | undefined =>
  edits
    .filter((edit) => isValidEdit(original, edit))
    .reduce<E | undefined>(
      (latest, edit) => (latest === undefined || compareEdits(latest, edit) < 0 ? edit : latest),
      undefined,
    );

export interface ThreadSummary<E> {
  /** The most recent in topological order. */
  readonly latest: E;
  readonly count: number;
  readonly currentUserParticipated: boolean;
}

/**
 * What is bundled with a thread's root for a user.
 *
 * @param children the events that relate to the root by `m.thread`, oldest first, in topological order
 * @returns undefined when there is nothing to tell: no child, or only ignored users'
 */
export const summariseThread = <E extends { readonly sender: UserId }>(
  rootSender: UserId,
  children: readonly E[],
  user: { readonly userId: UserId; readonly ignored: ReadonlySet<string> },
): ThreadSummary<E> | undefined => {
  const shown = children.filter(({ sender }) => !user.ignored.has(sender));
  const latest = shown.at(-1);
  if (latest === undefined) return undefined;
  const currentUserParticipated = rootSender === user.userId || shown.some(({ sender }) => sender === user.userId);
  return { latest, count: shown.length, currentUserParticipated };
};

/** What is bundled for `m.reference`; undefined when nothing refers to the event. */
export const referenceChunk = (children: readonly EventId[]): JsonObject | undefined =>
  children.length === 0 ? undefined : { chunk: children.map((eventId) => ({ event_id: eventId })) };

/** Whether an event may become a thread's root: it must not itself be the child of a relation with a `rel_type`. */
export const mayRootThread = (content: JsonObject): boolean => relationOf(content) === undefined;

/**
 * The thread that an event belongs to, for receipts and counts: the root named by the first `m.thread` relation on the way
 * up, in at most 3 hops.
 *
 * @param contentOf the content of a stored event, as far as it is known
 * @returns undefined for the main timeline
 */
export const threadRootOf = (
  content: JsonObject,
  contentOf: (eventId: EventId) => JsonObject | undefined,
): EventId | undefined => {
  for (const { eventId, relType } of relationsUpwards(content, contentOf)) if (relType === 'm.thread') return eventId;
  return undefined;
};

/** Whether an event relates to another one, if through others, in at most 3 hops. */
export const isRelatedTo = (
  content: JsonObject,
  target: string,
  contentOf: (eventId: EventId) => JsonObject | undefined,
): boolean => [...relationsUpwards(content, contentOf)].some(({ eventId }) => eventId === target);

/** "Implementations should not recurse infinitely, though: a maximum of 3 hops is recommended". */
function* relationsUpwards(
  content: JsonObject,
  contentOf: (eventId: EventId) => JsonObject | undefined,
): Iterable<Relation> {
  let current: JsonObject | undefined = content;
  for (let hop = 0; hop < 3 && current !== undefined; hop++) {
    const relation = relationOf(current);
    if (relation === undefined) return;
    yield relation;
    current = contentOf(relation.eventId);
  }
}

/** The annotation that an event makes; a second one equal in all three by the same sender is a duplicate. */
export interface Annotation {
  readonly target: EventId;
  readonly type: string;
  readonly key: string;
}

/** The annotation in an event that is about to be sent; undefined when it makes none. */
export const annotationOf = (type: string, content: JsonObject): Annotation | undefined => {
  const relation = relationOf(content);
  if (relation?.relType !== 'm.annotation' || relation.key === undefined) return undefined;
  return { target: relation.eventId, type, key: relation.key };
};
