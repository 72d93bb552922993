/**
 * What an event of this server is built on: the forward extremities, the state that they lead to, and the authority that
 * it cites from there. Nothing is stored here.
 */
import { type AuthState, authTypesFor } from '../matrix/auth-types.ts';
import { matrixError } from '../matrix/errors.ts';
import { authorise } from '../matrix/event-auth.ts';
import {
  EventBuildError,
  type EventReference,
  type Signer,
  type TemplateInput,
  buildEvent,
} from '../matrix/event-builder.ts';
import type { EventId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import type { Snapshot, Tx } from '../storage/index.ts';
import type { PipelineTools } from './input/job.ts';
import type { EventMeta } from './storage/event-rows.ts';
import { authStateAt, currentAuthState, currentEventNid, stateEventNid } from './stores.ts';
import type { EventNid, ProtoEvent, Room, SnapshotNid } from './types.ts';

/** An event may name up to this many prev events (S-S API §PDUs). */
const maxPrevEvents = 20;

/** What an event is built on. */
export interface Ground {
  /** All forward extremities are among the prev events. */
  readonly coversAll: boolean;
  readonly prev: readonly EventMeta[];
  readonly before: SnapshotNid;
  readonly state: AuthState;
  readonly nidOf: (type: string, stateKey: string) => EventNid;
}

/** An event that the room's rules allow, before it is built. */
export interface Plan {
  readonly ground: Ground;
  readonly auth: readonly EventNid[];
}

/** @throws M_FORBIDDEN with the auth rule's reason */
export function planEvent(tools: PipelineTools, signer: Signer, tx: Tx, room: Room, proto: ProtoEvent): Plan {
  const ground = groundOf(tools, tx, room);
  const verdict = authorise(wish(room, proto, ground, signer), ground.state, room.rules);
  if (!verdict.allowed) throw matrixError.forbidden(verdict.reason);
  const content = proto.content as JsonObject;
  const subject = { type: proto.type, stateKey: proto.stateKey, sender: proto.sender, content };
  const auth = authTypesFor(subject, room.rules)
    .map(([type, stateKey]) => ground.nidOf(type, stateKey))
    .filter((nid) => nid > 0);
  return { ground, auth };
}

/** What a planned event is built from. */
export function templateOf(
  tools: PipelineTools,
  tx: Tx,
  room: Room,
  proto: ProtoEvent,
  { ground, auth }: Plan,
): TemplateInput {
  return {
    rules: room.rules,
    proto: {
      type: proto.type,
      state_key: proto.stateKey,
      sender: proto.sender,
      content: proto.content as JsonObject,
      room_id: room.roomId,
      redacts: proto.redacts,
    },
    prevEvents: ground.prev.map(({ nid, eventId }) => referenceTo(tools, tx, room, nid, eventId)),
    authEvents: auth.map((nid) => {
      const { eventId } = tools.stores.events.forAuth(tx, nid, room.rules);
      return referenceTo(tools, tx, room, nid, eventId);
    }),
    depth: ground.prev.reduce((depth, meta) => Math.max(depth, meta.depth), 0) + 1,
    originServerTs: proto.originServerTs ?? tools.now(),
  };
}

/** The forward extremities (the deepest of them, where there are too many) and the state that they lead to. */
function groundOf({ stores, resolver }: PipelineTools, tx: Tx, room: Room): Ground {
  const all = stores.graph.extremities(tx, room.nid).map((nid) => stores.events.knownMeta(tx, nid));
  if (all.length === 0) throw matrixError.forbidden('This server is not in the room');
  const current = stores.rooms.head(tx, room.nid).snapshot;
  if (all.length <= maxPrevEvents) {
    return {
      coversAll: true,
      prev: all,
      before: current,
      state: currentAuthState(stores, tx, room),
      nidOf: (type, stateKey) => currentEventNid(stores, tx, room.nid, type, stateKey),
    };
  }
  const prev = all.sort((a, b) => b.depth - a.depth || b.nid - a.nid).slice(0, maxPrevEvents);
  const before = resolver.resolve(
    tx,
    room,
    prev.map((meta) => meta.after),
    false,
  );
  return {
    coversAll: false,
    prev,
    before,
    state: authStateAt(stores, tx, room, before),
    nidOf: (type, stateKey) => stateEventNid(stores, tx, before, type, stateKey),
  };
}

/** The event as far as auth rules read it, before it is built. */
function wish(room: Room, proto: ProtoEvent, ground: Ground, { serverName }: Signer): Parameters<typeof authorise>[0] {
  return {
    eventId: `$:${serverName}` as EventId,
    roomId: room.roomId,
    type: proto.type,
    stateKey: proto.stateKey,
    sender: proto.sender,
    content: proto.content as JsonObject,
    prevEvents: ground.prev.map(({ eventId }) => eventId),
    redacts: proto.redacts,
  };
}

/** Versions 1 and 2 cite events with their reference hash, which takes the event. */
function referenceTo(
  { stores }: PipelineTools,
  snapshot: Snapshot,
  room: Room,
  nid: EventNid,
  eventId: EventId,
): EventReference {
  if (!room.rules.eventReferencesArePairs) return eventId;
  return { eventId, pdu: stores.events.forAuth(snapshot, nid, room.rules).pdu };
}

/** A signed event. @throws M_TOO_LARGE, M_BAD_JSON */
export const build = (input: Parameters<typeof buildEvent>[0]): RoomEvent => orMatrixError(() => buildEvent(input));

/** What cannot be built, as the error that a client is told. */
export function orMatrixError<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof EventBuildError)) throw error;
    throw error.kind === 'too-large' ? matrixError.tooLarge(error.message) : matrixError.badJson(error.message);
  }
}
