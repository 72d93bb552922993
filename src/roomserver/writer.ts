/**
 * The writing half of the roomserver's inside: rooms and events of our own users, made, authorised, signed and stored
 * within the caller's transaction.
 */
import { randomBytes } from 'node:crypto';
import { type AuthState, authTypesFor } from '../matrix/auth-types.ts';
import { canonicalJson } from '../matrix/canonical-json.ts';
import { matrixError } from '../matrix/errors.ts';
import { authorise } from '../matrix/event-auth.ts';
import { EventBuildError, type EventReference, type Signer, buildEvent } from '../matrix/event-builder.ts';
import type { EventId, RoomId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import { rulesOfVersion } from '../matrix/room-versions.ts';
import type { Position, Snapshot, Tx } from '../storage/index.ts';
import type { CreateArguments, RoomWriter, SendOptions } from './core.ts';
import { insertRoom } from './input/input.ts';
import { type Job, type PipelineTools, newJob } from './input/job.ts';
import { runOwn } from './input/pipeline.ts';
import { emptySnapshot } from './state/snapshots.ts';
import { addTransaction } from './storage/annotations.ts';
import { type EventMeta, flag } from './storage/event-rows.ts';
import { authStateAt, currentAuthState, currentEventNid, stateEventNid } from './stores.ts';
import type { EventNid, ProtoEvent, Room, SnapshotNid, StoredEvent } from './types.ts';

/** An event may name up to this many prev events (S-S API §PDUs). */
const maxPrevEvents = 20;

/** What an event is built on. */
interface Ground {
  /** All forward extremities are among the prev events. */
  readonly coversAll: boolean;
  readonly prev: readonly EventMeta[];
  readonly before: SnapshotNid;
  readonly state: AuthState;
  readonly nidOf: (type: string, stateKey: string) => EventNid;
}

export function roomWriter(tools: PipelineTools, signer: Signer): RoomWriter {
  const { stores } = tools;
  return {
    newRoomId: () => newRoomId(signer),
    createRoom: (tx, args) => createRoom(tools, signer, tx, args),
    send: (tx, room, proto, options = {}) => send(tools, signer, tx, room, proto, options),
    eraseSender: (tx, user) => stores.erased.add(tx, user),
    forget: (tx, room, user) => {
      if (!stores.members.forget(tx, room.nid, user)) return;
      const { nid, roomId } = room;
      tools.append(tx, { topic: 'room.membership', room: nid, roomId, user, membership: 'forget' });
    },
    setOutOfBandMembership: (tx, room, user, membership, event, stripped) => {
      const position: Position = tx.nextPosition();
      stores.members.addOutOfBand(tx, room.nid, user, membership, event, position, stripped);
      const { nid, roomId } = room;
      tools.append(tx, { topic: 'room.membership', room: nid, roomId, user, membership }, position);
    },
  };
}

const newRoomId = ({ serverName }: Signer): RoomId =>
  `!${randomBytes(14).toString('base64url')}:${serverName}` as RoomId;

function createRoom(tools: PipelineTools, signer: Signer, tx: Tx, args: CreateArguments): Room {
  const rules = rulesOfVersion(args.version);
  if (rules === undefined) throw matrixError.unsupportedRoomVersion();
  const roomId = rules.roomIdIsCreateHash ? undefined : (args.roomId ?? newRoomId(signer));
  const content: JsonObject = { ...(args.content as JsonObject), room_version: rules.version };
  if (rules.creatorInContent) content.creator = args.sender;
  const template = {
    ...signer,
    rules,
    proto: { type: 'm.room.create', state_key: '', sender: args.sender, content, room_id: roomId },
    prevEvents: [],
    authEvents: [],
    depth: 1,
  };
  let originServerTs = tools.now();
  let event = build({ ...template, originServerTs });
  // Where the event's hash is the room's id, two rooms made alike in one millisecond would be one.
  while (tools.stores.rooms.byId(tx, event.roomId) !== undefined) {
    originServerTs += 1;
    event = build({ ...template, originServerTs });
  }
  const verdict = authorise(event, { get: () => undefined }, rules);
  if (!verdict.allowed) throw matrixError.forbidden(verdict.reason);
  const room = insertRoom(tools, tx, event, rules);
  const job = newJob({ event, room, kind: 'live', coversAll: true });
  job.before = emptySnapshot;
  runOwn(tx, job, tools);
  tools.stores.rooms.setCreateEvent(tx, room.nid, job.nid);
  return room;
}

function send(
  tools: PipelineTools,
  signer: Signer,
  tx: Tx,
  room: Room,
  proto: ProtoEvent,
  options: SendOptions,
): StoredEvent {
  const { stores } = tools;
  const ground = groundOf(tools, tx, room);
  const content = proto.content as JsonObject;
  const verdict = authorise(wish(room, proto, ground, signer), ground.state, room.rules);
  if (!verdict.allowed) throw matrixError.forbidden(verdict.reason);
  const same = sameAsCurrent(tools, tx, room, proto);
  if (same !== undefined) return same;
  const subject = { type: proto.type, stateKey: proto.stateKey, sender: proto.sender, content };
  const auth = authTypesFor(subject, room.rules)
    .map(([type, stateKey]) => ground.nidOf(type, stateKey))
    .filter((nid) => nid > 0);
  const event = build({
    ...signer,
    rules: room.rules,
    proto: {
      type: proto.type,
      state_key: proto.stateKey,
      sender: proto.sender,
      content,
      room_id: room.roomId,
      redacts: proto.redacts,
    },
    prevEvents: ground.prev.map(({ nid, eventId }) => referenceTo(tools, tx, room, nid, eventId)),
    authEvents: auth.map((nid) => {
      const { eventId } = stores.events.forAuth(tx, nid, room.rules);
      return referenceTo(tools, tx, room, nid, eventId);
    }),
    depth: ground.prev.reduce((depth, meta) => Math.max(depth, meta.depth), 0) + 1,
    originServerTs: proto.originServerTs ?? tools.now(),
  });
  const job = newJob({ event, room, kind: 'live', coversAll: ground.coversAll });
  job.auth = auth;
  job.prev = ground.prev;
  job.before = ground.before;
  job.partial = ground.prev.some(({ flags }) => (flags & flag.partial) !== 0);
  runOwn(tx, job, tools);
  const { deviceId, transactionId } = options;
  if (deviceId !== undefined && transactionId !== undefined) addTransaction(tx, job.nid, deviceId, transactionId);
  return storedOf(job);
}

/** The event as it was just stored. */
function storedOf({ event, room, nid, client, before, position }: Job): StoredEvent {
  const { eventId, type, sender, originServerTs, depth } = event;
  return {
    ...{ nid, eventId, room: room.nid, type, stateKey: event.stateKey ?? null, sender, originServerTs, depth, client },
    ...{ snapshot: before, outlier: false, rejected: false, softFailed: false, redactedBy: 0 as EventNid },
    place: position === undefined ? undefined : { slot: position, live: 1, depth, nid },
  };
}

/** The forward extremities (the deepest of them, where there are too many) and the state that they lead to. */
function groundOf({ stores, resolver }: PipelineTools, tx: Tx, room: Room): Ground {
  const all = stores.rooms.extremities(tx, room.nid).map((nid) => stores.events.knownMeta(tx, nid));
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

/** The current state event, when the wished one says the same by the same sender. */
function sameAsCurrent({ stores }: PipelineTools, tx: Tx, room: Room, proto: ProtoEvent): StoredEvent | undefined {
  if (proto.stateKey === undefined) return undefined;
  const nid = currentEventNid(stores, tx, room.nid, proto.type, proto.stateKey);
  if (nid === 0) return undefined;
  const current = stores.events.parsed(tx, nid, room.rules);
  if (current.sender !== proto.sender) return undefined;
  try {
    const options = { lenient: !room.rules.strictCanonicalJson };
    const wished = canonicalJson(proto.content as JsonObject, options);
    return wished === canonicalJson(current.content, options) ? stores.events.stored(tx, nid) : undefined;
  } catch {
    // What has no canonical form is refused when it is built.
    return undefined;
  }
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

function build(input: Parameters<typeof buildEvent>[0]): RoomEvent {
  try {
    return buildEvent(input);
  } catch (error) {
    if (!(error instanceof EventBuildError)) throw error;
    throw error.kind === 'too-large' ? matrixError.tooLarge(error.message) : matrixError.badJson(error.message);
  }
}
