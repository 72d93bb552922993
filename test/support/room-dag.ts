/**
 * Rooms for tests without keys and hashes: events with free ids (`$A`).
 */
import type { EventId, RoomId, UserId } from '../../src/matrix/ids.ts';
import type { JsonObject } from '../../src/matrix/json.ts';
import type { Pdu, RoomEvent } from '../../src/matrix/pdu.ts';
import { type RoomVersionRules, roomVersions } from '../../src/matrix/room-versions.ts';

/** What a test says about an event; the rest is filled in. */
export interface EventDraft {
  readonly type: string;
  readonly sender: string;
  readonly stateKey?: string;
  readonly content?: JsonObject;
  readonly prev?: readonly string[];
  readonly auth?: readonly string[];
  readonly ts?: number;
  readonly depth?: number;
  readonly redacts?: string;
  readonly roomId?: string;
  readonly topLevel?: JsonObject;
}

export const rulesOf = (version: string): RoomVersionRules => {
  const rules = roomVersions.get(version);
  if (rules === undefined) throw new Error(`no room version ${version}`);
  return rules;
};

export const createId = '$create:h1';

/** The room of all test events: `!create:h1` is both of server h1 and, for version 12, made of the id `$create:h1`. */
export const testRoomId = '!create:h1';

export function makeEvent(eventId: string, draft: EventDraft): RoomEvent {
  const content = draft.content ?? {};
  const originServerTs = draft.ts ?? 0;
  const { type, sender } = draft;
  const pdu: Pdu = { type, sender, content, origin_server_ts: originServerTs, ...draft.topLevel };
  return {
    eventId: eventId as EventId,
    roomId: (draft.roomId ?? testRoomId) as RoomId,
    type,
    stateKey: draft.stateKey,
    sender: sender as UserId,
    content,
    originServerTs,
    depth: draft.depth ?? 1,
    prevEvents: (draft.prev ?? []) as readonly EventId[],
    authEvents: (draft.auth ?? []) as readonly EventId[],
    redacts: draft.redacts as EventId | undefined,
    pdu,
  };
}

export const member = (user: string, membership: string, more: Partial<EventDraft> = {}): EventDraft => ({
  type: 'm.room.member',
  sender: user,
  stateKey: user,
  ...more,
  content: { membership, ...more.content },
});
