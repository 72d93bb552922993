/**
 * Random rooms with joins, leaves, bans, redactions and forks: whatever happens, linear and polylog say the same, and a
 * client that chains incremental syncs has what one full sync returns.
 */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Room, verifyRoomserver } from '../../src/roomserver/index.ts';
import type { EventId, ServerName, UserId } from '../../src/matrix/ids.ts';
import { verifyThreadEvents } from '../../src/syncapi/index.ts';
import { asPosition } from '../../src/storage/index.ts';
import { fork } from '../support/fork.ts';
import { user } from '../support/room-core.ts';
import { SyncClient } from '../support/sync-client.ts';
import { openTestSync, type SyncBody, type SyncOptions, type TestSync } from '../support/sync.ts';

const people = ['@ann:one.example', '@bob:one.example', '@cat:one.example'] as const;
const [ann] = people;

type Command =
  | { readonly kind: 'say' | 'topic' | 'join' | 'leave' | 'rename'; readonly who: number; readonly room: number }
  | { readonly kind: 'invite' | 'kick' | 'ban' | 'unban'; readonly whom: number; readonly room: number }
  | { readonly kind: 'redact' | 'fork' | 'forkTopic'; readonly back: number; readonly room: number }
  | { readonly kind: 'visibility'; readonly value: string; readonly room: number }
  | { readonly kind: 'tell'; readonly what: string; readonly who: number; readonly room: number }
  | { readonly kind: 'sync'; readonly who: number; readonly after: boolean };

const who = fc.integer({ min: 0, max: 2 });
const room = fc.integer({ min: 0, max: 1 });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('say', 'topic', 'join', 'leave', 'rename'), who, room }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('invite', 'kick', 'ban', 'unban'), whom: who, room }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('redact', 'fork', 'forkTopic'),
      back: fc.integer({ min: 0, max: 6 }),
      room,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('visibility' as const),
      value: fc.constantFrom('shared', 'joined', 'invited', 'world_readable'),
      room,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('tell' as const),
      what: fc.constantFrom(
        'receipt',
        'private',
        'typing',
        'silent',
        'tag',
        'data',
        'message',
        'keys',
        'presence',
        'ignore',
      ),
      who,
      room,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('sync' as const), who, after: fc.boolean() }) },
);

const runs = Number(process.env['NEURITE_PROPERTY_RUNS'] ?? 40);
const seed =
  process.env['NEURITE_PROPERTY_SEED'] === undefined ? undefined : Number(process.env['NEURITE_PROPERTY_SEED']);

class World {
  readonly server: TestSync;
  readonly rooms: Room[];
  readonly sent: string[][];
  readonly clients: readonly { readonly state: SyncClient; readonly after: SyncClient }[];
  readonly tokens: string[] = [];
  #count = 0;

  constructor(server: TestSync, rooms: Room[]) {
    this.server = server;
    this.rooms = rooms;
    this.sent = rooms.map(() => []);
    this.clients = people.map(() => ({ state: new SyncClient(), after: new SyncClient() }));
  }

  async run(command: Command): Promise<void> {
    if (command.kind === 'sync') return this.#sync(command.who, command.after);
    if (command.kind === 'tell') return this.#tell(command.what, user(people[command.who] ?? ann), command.room);
    const target = this.rooms[command.room] as Room;
    try {
      await this.#act(target, command);
    } catch {
      // What the auth rules forbid doesn't happen.
    }
  }

  async #act(target: Room, command: Exclude<Command, { kind: 'sync' | 'tell' }>): Promise<void> {
    const sent = this.sent[command.room] as string[];
    const send = async (sender: string, type: string, content: Record<string, unknown>, stateKey?: string) => {
      const proto = { type, sender, content, ...(stateKey === undefined ? {} : { stateKey }) };
      sent.push((await this.server.rooms.send(target, proto)).eventId);
    };
    const member = (sender: string, whom: string, membership: string, more = {}): Promise<void> =>
      send(sender, 'm.room.member', { membership, ...more }, whom);
    const text = `${(this.#count += 1)}`;
    switch (command.kind) {
      case 'say':
        return send(people[command.who] ?? ann, 'm.room.message', { body: text });
      case 'topic':
        return send(people[command.who] ?? ann, 'm.room.topic', { topic: text }, '');
      case 'join':
        return member(people[command.who] ?? ann, people[command.who] ?? ann, 'join');
      case 'leave':
        if (command.who === 0) return;
        return member(people[command.who] ?? ann, people[command.who] ?? ann, 'leave');
      case 'rename':
        return this.#joined(target, people[command.who] ?? ann)
          ? member(people[command.who] ?? ann, people[command.who] ?? ann, 'join', { displayname: text })
          : undefined;
      case 'invite':
      case 'kick':
      case 'ban':
      case 'unban': {
        const whom = people[command.whom] ?? ann;
        if (whom === ann) return;
        return member(ann, whom, { invite: 'invite', kick: 'leave', ban: 'ban', unban: 'leave' }[command.kind]);
      }
      case 'visibility':
        return send(ann, 'm.room.history_visibility', { history_visibility: command.value }, '');
      case 'redact': {
        const redacts = sent.at(-1 - command.back);
        if (redacts === undefined) return;
        const proto = { type: 'm.room.redaction', sender: ann, content: {}, redacts: redacts as never };
        sent.push((await this.server.rooms.send(target, proto)).eventId);
        return;
      }
      case 'fork':
      case 'forkTopic': {
        const prev = sent.at(-1 - command.back);
        if (prev === undefined) return;
        const proto =
          command.kind === 'fork'
            ? { type: 'm.room.message', sender: ann, content: { body: text } }
            : { type: 'm.room.topic', sender: ann, stateKey: '', content: { topic: text } };
        await fork(this.server.rooms, target, prev, proto);
      }
    }
  }

  /** What is not in rooms' timelines. */
  async #tell(what: string, person: UserId, index: number): Promise<void> {
    const { accountData, deviceLists, presence, receipts, toDevice, typing } = this.server.users;
    const target = this.rooms[index] as Room;
    const eventId = this.sent[index]?.at(-1) as EventId | undefined;
    const text = `${(this.#count += 1)}`;
    if (what === 'typing') return typing.start(target, person, 30_000);
    if (what === 'silent') return typing.stop(target.nid, person);
    if (what === 'presence') return presence.set(person, 'DEVICE', 'online', text);
    await this.server.write((tx) => {
      if (what === 'tag') accountData.put(tx, person, target.roomId, 'm.tag', { text });
      else if (what === 'data') accountData.put(tx, person, null, 'org.example', { text });
      else if (what === 'ignore') {
        // Whoever ignores stays with it, so that what he was sent before doesn't count.
        accountData.put(tx, person, null, 'm.ignored_user_list', { ignored_users: {} });
      } else if (what === 'message') toDevice.send(tx, person, 'm.test', user(people[1]), 'DEVICE', { text });
      else if (what === 'keys') deviceLists.touch(tx, person);
      else if (eventId !== undefined) {
        const type = what === 'private' ? ('m.read.private' as const) : ('m.read' as const);
        receipts.set(tx, { room: target, user: person, type, threadId: null, eventId });
      }
    });
  }

  #joined(target: Room, member: string): boolean {
    const { core } = this.server.rooms;
    return this.server.rooms.read((db) => core.membership(db, target.nid, user(member)))?.membership === 'join';
  }

  async #sync(index: number, after: boolean): Promise<void> {
    const name = people[index] ?? ann;
    const client = this.clients[index]?.[after ? 'after' : 'state'];
    if (client === undefined) return;
    const options: SyncOptions = {
      filter: { room: { timeline: { limit: 4 } } },
      ...(client.since === undefined ? {} : { since: client.since }),
      ...(after ? { stateAfter: 'state_after' as const } : {}),
    };
    const body = await this.server.sync(name, options);
    if (client.since !== undefined) {
      const linear = await this.server.composeBy('linear', name, options);
      expect(await this.server.composeBy('polylog', name, options)).toEqual(linear);
      expect(linear).toEqual(body);
      for (const [roomId, { timeline }] of Object.entries(body.rooms?.join ?? {})) {
        this.#checkTimeline(name, roomId, client, body, timeline);
      }
    }
    client.apply(body);
    this.tokens.push(body.next_batch);
    this.#checkRooms(name, client, after);
  }

  /** Against the room's own order: nothing that the user may see, or has become the state, is left out without `limited`. */
  #checkTimeline(
    name: string,
    roomId: string,
    client: SyncClient,
    body: SyncBody,
    timeline: { events: { event_id: string }[]; limited: boolean },
  ): void {
    const { core } = this.server.rooms;
    const expected = this.server.rooms.read((db) => {
      const nid = core.room(db, roomId)?.nid ?? (0 as never);
      const [before, now] = [asPosition(Number(client.since)), asPosition(Number(body.next_batch))];
      const moved = core.localMembershipsBetween(db, user(name), before, now).some((row) => row.room === nid);
      // Newly joined, if only again: the room comes anew.
      const since = client.joined.has(roomId) && !moved ? before : asPosition(0);
      const range = core.timelineForward(db, nid, since, now, 10_000);
      const visible = new Set(core.visibleTo(db, user(name), range));
      const state = core.snapshotAt(db, nid, now);
      return range
        .filter((event) => {
          const { nid: eventNid, type, stateKey, place } = event;
          const isNew = stateKey !== null && (place?.slot ?? 0) > before;
          return visible.has(event) || (isNew && core.stateEvent(db, state, type, stateKey) === eventNid);
        })
        .map(({ eventId }) => eventId as string);
    });
    // A room may come for its state alone.
    if (timeline.events.length === 0 && expected.length === 0) return;
    expect(timeline.events.map(({ event_id: id }) => id)).toEqual(expected.slice(-4));
    expect(timeline.limited).toBe(expected.length > 4);
  }

  #checkRooms(name: string, client: SyncClient, after: boolean): void {
    const { core } = this.server.rooms;
    this.server.rooms.read((db) => {
      const joined = core.joinedRooms(db, user(name)).map((nid) => core.roomByNid(db, nid).roomId as string);
      expect([...client.joined.keys()].sort()).toEqual(joined.sort());
      for (const [roomId, { state, doubtful }] of client.joined) {
        const nid = core.room(db, roomId)?.nid ?? (0 as never);
        const current = new Map(
          core
            .currentState(db, nid)
            .map((entry) => [`${entry.type}|${entry.stateKey}`, core.event(db, entry.event)?.eventId as string]),
        );
        for (const [key, id] of current) {
          if (after || !doubtful.has(key)) expect(`${key} ${state.get(key)}`).toBe(`${key} ${id}`);
        }
      }
      return null;
    });
  }

  /** Every token still gives the same answer by both ways. */
  async checkOldTokens(): Promise<void> {
    for (const since of this.tokens.slice(0, 5)) {
      for (const name of people) {
        const linear = await this.server.composeBy('linear', name, { since });
        expect(await this.server.composeBy('polylog', name, { since })).toEqual(linear);
      }
    }
  }
}

test('linear equals polylog, and chained incremental syncs rebuild the full sync', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 60 }), async (commands) => {
      await using server = openTestSync();
      await server.write((tx) => {
        for (const name of people) server.users.devices.create(tx, user(name), 'DEVICE');
      });
      const world = new World(server, [await server.rooms.openRoom(ann), await server.rooms.openRoom(ann, '10')]);
      for (const step of commands) await world.run(step);
      for (const [index] of people.entries()) {
        await world.run({ kind: 'sync', who: index, after: true });
        await world.run({ kind: 'sync', who: index, after: false });
      }
      await world.checkOldTokens();
      // Every projection rebuilt from scratch equals the live one.
      expect([...verifyRoomserver(server.rooms.db, 'one.example' as ServerName)]).toEqual([]);
      expect([...verifyThreadEvents(server.rooms.db, server.rooms.core)]).toEqual([]);
    }),
    { numRuns: runs, ...(seed === undefined ? {} : { seed }) },
  );
}, 120_000);
