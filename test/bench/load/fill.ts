/**
 * Big databases in little time: while the server is stopped, its own modules write into its data folder in big units
 * instead of being asked over HTTP. What comes out is what a server writes, projections included.
 */
import { loadConfig } from '../../../src/config/index.ts';
import { buildModules, startConsumers, type Modules } from '../../../src/modules.ts';
import type { Room } from '../../../src/roomserver/index.ts';
import type { Tx } from '../../../src/storage/index.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { Lifecycle } from '../../../src/util/lifecycle.ts';
import { createLogger } from '../../../src/util/log.ts';
import { user } from '../../support/room-core.ts';

/** Events of a unit. */
const unit = 400;

/** Runs `work` on the modules over a data folder that no server has; what follows the log has caught up at its end. */
export async function withModules<T>(folder: string, work: (modules: Modules) => Promise<T>): Promise<T> {
  const loaded = loadConfig({ env: {} });
  if (!loaded.ok) throw new Error('the default configuration does not load');
  const log = createLogger({ level: 'error', format: 'json' });
  const lifecycle = new Lifecycle(log);
  const modules = buildModules({ ...loaded.value, dataDir: folder }, systemClock, log, lifecycle);
  try {
    const result = await work(modules);
    await startConsumers(modules);
    await modules.bus.trim(new AbortController().signal);
    return result;
  } finally {
    await lifecycle.stop();
  }
}

type Write = (tx: Tx, index: number) => void;

async function inUnits({ db }: Modules, count: number, events: number, write: Write): Promise<void> {
  const size = Math.max(1, Math.floor(unit / events));
  for (let from = 0; from < count; from += size) {
    await db.write((tx) => {
      for (let index = from; index < Math.min(count, from + size); index += 1) write(tx, index);
    });
  }
}

const join = ({ rooms }: Modules, tx: Tx, room: Room, who: string): void =>
  void rooms.send(tx, room, {
    ...{ type: 'm.room.member', stateKey: who, sender: user(who) },
    content: { membership: 'join', displayname: who.slice(1, who.indexOf(':')) },
  });

function say({ rooms }: Modules, tx: Tx, room: Room, who: string, index: number): string {
  const body = `message ${index} of a bench, about as long as what people write to each other`;
  return rooms.send(tx, room, { type: 'm.room.message', sender: user(who), content: { msgtype: 'm.text', body } })
    .eventId;
}

function openRoom(modules: Modules, tx: Tx, owner: string, name: string): Room {
  const { rooms, config } = modules;
  const sender = user(owner);
  const room = rooms.createRoom(tx, { version: config.rooms.defaultVersion, sender, content: {} });
  const state = (type: string, content: Record<string, unknown>): void =>
    void rooms.send(tx, room, { type, stateKey: '', sender, content });
  join(modules, tx, room, owner);
  state('m.room.power_levels', { users: room.rules.privilegedCreators ? {} : { [owner]: 100 } });
  state('m.room.join_rules', { join_rule: 'public' });
  state('m.room.history_visibility', { history_visibility: 'shared' });
  state('m.room.name', { name });
  return room;
}

/** `count` rooms with both in them and a message in each; their ids. */
export async function fillRooms(modules: Modules, owner: string, guest: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  await inUnits(modules, count, 8, (tx, index) => {
    const room = openRoom(modules, tx, owner, `Room ${index}`);
    join(modules, tx, room, guest);
    say(modules, tx, room, owner, index);
    ids.push(room.roomId);
  });
  return ids;
}

/** A room with `count` members, its owner among them; its id. */
export async function fillMembers(modules: Modules, owner: string, count: number): Promise<string> {
  const room = await modules.db.write((tx) => openRoom(modules, tx, owner, `${count} members`));
  const server = owner.slice(owner.indexOf(':'));
  await inUnits(modules, count - 1, 1, (tx, index) => join(modules, tx, room, `@member-${index}${server}`));
  return room.roomId;
}

/** A room's history of `count` messages: its id, the event in the middle and the last one. */
export async function fillHistory(
  modules: Modules,
  owner: string,
  count: number,
): Promise<{ room: string; middle: string; last: string }> {
  const room = await modules.db.write((tx) => openRoom(modules, tx, owner, `${count} messages`));
  let [middle, last] = ['', ''];
  await inUnits(modules, count, 1, (tx, index) => {
    last = say(modules, tx, room, owner, index);
    if (index === count >> 1) middle = last;
  });
  return { room: room.roomId, middle, last };
}
