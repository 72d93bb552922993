/** A room on its resident server, joined by `me` from another roomserver without its members (DESIGN §7), without a network. */
import { expect } from '@jest/globals';
import type { EventId, ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import {
  PartialRooms,
  type Room,
  type StateEntry,
  type StoredEvent,
  verifyRoomserver,
} from '../../src/roomserver/index.ts';
import type { Clock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { openTestRooms, type TestRooms } from './room-core.ts';

const creator = '@creator:res.example';
export const mod = '@mod:res.example';
export const me = '@me:two.example';
const log = createLogger({ level: 'silent', format: 'json' });
export const never = new AbortController().signal;

/** Never waits. */
const hasty: Clock = {
  now: () => Date.now(),
  sleep: async () => new Promise((resolve) => setImmediate(resolve)),
};

export class PartialWorld implements AsyncDisposable {
  readonly resident: TestRooms;
  joiner: TestRooms;
  partial: PartialRooms;
  readonly room: Room;
  /** Servers that were asked for a state. */
  readonly asked: string[] = [];
  /** Answers of servers; default: the resident tells the truth. */
  answer: (server: ServerName) => void = () => undefined;

  private constructor(resident: TestRooms, joiner: TestRooms, room: Room) {
    this.resident = resident;
    this.joiner = joiner;
    this.room = room;
    this.partial = this.resync(joiner);
  }

  static async open(version = '12'): Promise<PartialWorld> {
    const resident = openTestRooms('res.example');
    const room = await resident.openRoom(creator, version);
    await resident.join(room, mod);
    const levels = { ...(room.rules.privilegedCreators ? {} : { [creator]: 100 }), [mod]: 50 };
    await resident.send(room, {
      type: 'm.room.power_levels',
      stateKey: '',
      sender: creator,
      content: { users: levels },
    });
    for (let index = 0; index < 10; index += 1) await resident.join(room, `@user${index}:s${index % 3}.example`);
    return new PartialWorld(resident, openTestRooms('two.example'), room);
  }

  resync(joiner: TestRooms, clock: Clock = hasty): PartialRooms {
    const partial = new PartialRooms({
      ...{ db: joiner.db, tools: joiner.core.tools, serverName: 'two.example' as ServerName, clock, log },
      fetchState: async (_room, eventId, server) => {
        this.asked.push(server);
        this.answer(server);
        return this.tellState(joiner, eventId);
      },
    });
    joiner.core.onPartialEnd((room) => partial.ended(room));
    return partial;
  }

  /** Events of the resident by number. */
  event(nid: StoredEvent['nid']): RoomEvent {
    return this.resident.read((snapshot) => this.resident.core.roomEvent(snapshot, nid));
  }

  stateBefore(eventId: string): RoomEvent[] {
    const { core } = this.resident;
    return this.resident.read((snapshot) => {
      const stored = core.eventById(snapshot, eventId);
      if (stored === undefined) throw new Error(`the resident does not know ${eventId}`);
      return core
        .stateEntries(snapshot, core.stateBefore(snapshot, stored))
        .map(({ event }) => core.roomEvent(snapshot, event));
    });
  }

  /** Events and all that they cite, what is cited first. */
  withAuth(events: readonly RoomEvent[]): RoomEvent[] {
    const found = new Map<string, RoomEvent>();
    const visit = (event: RoomEvent): void => {
      if (found.has(event.eventId)) return;
      for (const id of event.authEvents) {
        const stored = this.resident.read((snapshot) => this.resident.core.eventById(snapshot, id));
        if (stored !== undefined) visit(this.event(stored.nid));
      }
      found.set(event.eventId, event);
    };
    const create = this.resident.read((snapshot) =>
      this.resident.core.currentEvent(snapshot, this.room.nid, 'm.room.create', ''),
    );
    if (create !== undefined) visit(this.event(create.nid));
    for (const event of events) visit(event);
    return [...found.values()];
  }

  /** The state after an event of the resident. */
  async tellState(joiner: TestRooms, eventId: string): Promise<EventId[]> {
    const { core } = this.resident;
    const state = this.resident.read((snapshot) => {
      const stored = core.eventById(snapshot, eventId);
      if (stored === undefined) throw new Error(`the resident does not know ${eventId}`);
      return core
        .stateEntries(snapshot, core.stateAfter(snapshot, stored))
        .map(({ event }) => core.roomEvent(snapshot, event));
    });
    await joiner.core.input(this.room.roomId, this.withAuth(state), 'outlier');
    return state.map((event) => event.eventId);
  }

  /** Joins on the resident and brings the join to the other server, without members. */
  async join(who = me): Promise<RoomEvent> {
    const { nid } = await this.resident.join(this.room, who);
    const join = this.event(nid);
    await this.bring(join);
    return join;
  }

  /** Brings a join that the resident has taken to the other server, without members. */
  async bring(join: RoomEvent): Promise<void> {
    const state = this.stateBefore(join.eventId).filter(({ type }) => type !== 'm.room.member');
    const { core } = this.joiner;
    await core.input(this.room.roomId, this.withAuth([...state, join]).slice(0, -1), 'outlier');
    const known = this.joined();
    const verdicts = await core.input(this.room.roomId, [join], 'live', {
      stateBefore: new Map([[join.eventId, state.map(({ eventId }) => eventId)]]),
      ...(known ? {} : { replacesRoom: join.eventId }),
      partialJoin: {
        event: join.eventId,
        via: 'res.example' as ServerName,
        servers: ['res.example', 's0.example', 's1.example', 's2.example'] as ServerName[],
      },
    });
    expect(verdicts.get(join.eventId)).toMatchObject({ kind: 'accepted' });
  }

  joined(): boolean {
    const room = this.here();
    return (
      room !== undefined &&
      this.joiner.read((snapshot) => this.joiner.core.joinedLocalUsers(snapshot, room.nid)).length > 0
    );
  }

  here(): Room | undefined {
    return this.joiner.read((snapshot) => this.joiner.core.room(snapshot, this.room.roomId));
  }

  get local(): Room {
    const room = this.here();
    if (room === undefined) throw new Error('the room is not known');
    return room;
  }

  /** Sends on the resident and lets the other server receive it. */
  async receive(proto: Parameters<TestRooms['send']>[1]): Promise<RoomEvent> {
    const { nid } = await this.resident.send(this.room, proto);
    const event = this.event(nid);
    await this.deliver([event]);
    return event;
  }

  deliver(events: readonly RoomEvent[]): ReturnType<TestRooms['core']['input']> {
    return this.joiner.core
      .input(
        this.room.roomId,
        this.withAuth(events).filter((event) => !events.includes(event)),
        'outlier',
      )
      .then(() => this.joiner.core.input(this.room.roomId, events, 'live'));
  }

  isPartial(): boolean {
    return this.joiner.read((snapshot) => this.joiner.core.isPartial(snapshot, this.local.nid));
  }

  async finish(): Promise<void> {
    this.partial.begin(this.local.nid);
    await this.partial.awaitFull(this.local.nid, never);
  }

  /** The current state of both servers, as event ids. */
  states(): { resident: string[]; joiner: string[] } {
    const ids = (rooms: TestRooms, room: Room): string[] =>
      rooms.read((snapshot) =>
        rooms.core
          .currentState(snapshot, room.nid)
          .map(({ event }: StateEntry) => rooms.core.event(snapshot, event)?.eventId ?? '')
          .sort(),
      );
    return { resident: ids(this.resident, this.room), joiner: ids(this.joiner, this.local) };
  }

  async faults(): Promise<string[]> {
    const found: string[] = [];
    for (const fault of verifyRoomserver(this.joiner.db, 'two.example' as ServerName)) found.push(fault);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.partial[Symbol.asyncDispose]();
    await this.resident[Symbol.asyncDispose]();
    await this.joiner[Symbol.asyncDispose]();
  }
}
