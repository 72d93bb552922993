/**
 * The writing half of the roomserver's inside: rooms and events of our own users, made, authorised, signed and stored
 * within the caller's transaction.
 */
import { randomBytes } from 'node:crypto';
import { canonicalJson } from '../matrix/canonical-json.ts';
import { matrixError } from '../matrix/errors.ts';
import { authorise } from '../matrix/event-auth.ts';
import { type Signer, eventTemplate, finishEvent, signEvent } from '../matrix/event-builder.ts';
import type { RoomId } from '../matrix/ids.ts';
import type { JsonObject } from '../matrix/json.ts';
import type { RoomEvent } from '../matrix/pdu.ts';
import { type RoomVersionRules, rulesOfVersion } from '../matrix/room-versions.ts';
import type { Position, Tx } from '../storage/index.ts';
import type { CreateArguments, RoomWriter, SendOptions } from './core.ts';
import { build, orMatrixError, type Plan, planEvent, templateOf } from './event-plan.ts';
import { insertRoom } from './input/input.ts';
import { type Job, type PipelineTools, newJob } from './input/job.ts';
import { runOwn } from './input/pipeline.ts';
import { emptySnapshot } from './state/snapshots.ts';
import { addTransaction } from './storage/annotations.ts';
import { flag } from './storage/event-rows.ts';
import { currentEventNid } from './stores.ts';
import type { EventNid, ProtoEvent, Room, StoredEvent } from './types.ts';

export function roomWriter(tools: PipelineTools, signer: Signer): RoomWriter {
  const { stores } = tools;
  return {
    newRoomId: () => newRoomId(signer),
    createRoom: (tx, args) => createRoom(tools, signer, tx, args),
    send: (tx, room, proto, options = {}) => send(tools, signer, tx, room, proto, options),
    eraseSender: (tx, user) => stores.erased.add(tx, user),
    forget: (tx, room, user) => {
      if (!stores.members.local.forget(tx, room.nid, user)) return;
      const { nid, roomId } = room;
      tools.append(tx, { topic: 'room.membership', room: nid, roomId, user, membership: 'forget' });
    },
    template: (tx, room, proto) => {
      const plan = planEvent(tools, signer, tx, room, proto);
      return eventTemplate(templateOf(tools, tx, room, proto, plan));
    },
    build: (tx, room, proto) => {
      const plan = planEvent(tools, signer, tx, room, proto);
      return buildOwn(tools, signer, tx, room, proto, plan);
    },
    complete: (template, rules) => orMatrixError(() => finishEvent(template, rules, signer)),
    sign: (event, rules) => signEvent(event, rules, signer),
    outsideRoom: (tx, roomId, rules) => outsideRoom(tools, tx, roomId, rules),
    setOutOfBandMembership: (tx, room, user, membership, member, stripped) => {
      const position: Position = tx.nextPosition();
      const event = member === 0 ? (0 as EventNid) : stores.outOfBand.insert(tx, room, member);
      stores.members.local.addOutOfBand(tx, room.nid, user, membership, event, position, stripped);
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
  const plan = planEvent(tools, signer, tx, room, proto);
  const same = sameAsCurrent(tools, tx, room, proto);
  if (same !== undefined) return same;
  const { ground } = plan;
  const event = buildOwn(tools, signer, tx, room, proto, plan);
  const job = newJob({ event, room, kind: 'live', coversAll: ground.coversAll });
  job.auth = plan.auth;
  job.prev = ground.prev;
  job.before = ground.before;
  job.partial = ground.prev.some(({ flags }) => (flags & flag.partial) !== 0);
  runOwn(tx, job, tools);
  const { deviceId, transactionId } = options;
  if (deviceId !== undefined && transactionId !== undefined) addTransaction(tx, job.nid, deviceId, transactionId);
  return storedOf(job);
}

function outsideRoom({ stores: { rooms } }: PipelineTools, tx: Tx, roomId: RoomId, rules: RoomVersionRules): Room {
  return rooms.byId(tx, roomId) ?? rooms.insert(tx, { roomId, rules, creators: [], federate: true });
}

/** A signed event of our own, countersigned by the room's policy server. @throws NotReady, MatrixError */
function buildOwn(tools: PipelineTools, signer: Signer, tx: Tx, room: Room, proto: ProtoEvent, plan: Plan): RoomEvent {
  const template = templateOf(tools, tx, room, proto, plan);
  const policy = tools.policies.of(tx, room);
  if (policy === undefined) return build({ ...signer, ...template });
  const draft = draftOf(room, proto, plan);
  const originServerTs = proto.originServerTs ?? tools.policies.timeOf(draft) ?? template.originServerTs;
  return tools.policies.countersign(room, policy, draft, build({ ...signer, ...template, originServerTs }));
}

/** What an event is built from, but for its time: what a policy server is asked about is found by it again. */
const draftOf = (room: Room, { type, stateKey, sender, content, redacts }: ProtoEvent, plan: Plan): string =>
  JSON.stringify([room.nid, type, stateKey ?? null, sender, content, redacts, plan.ground.prev.map(({ nid }) => nid)]);

/** The event as it was just stored. */
function storedOf({ event, room, nid, client, before, after, position }: Job): StoredEvent {
  const { eventId, type, sender, originServerTs, depth } = event;
  return {
    ...{ nid, eventId, room: room.nid, type, stateKey: event.stateKey ?? null, sender, originServerTs, depth, client },
    ...{ snapshot: before, after, outlier: false, rejected: false, softFailed: false, redactedBy: 0 as EventNid },
    place: position === undefined ? undefined : { slot: position, live: 1, depth, nid },
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
