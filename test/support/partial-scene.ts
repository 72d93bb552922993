/** A whole server, a scripted resident, and rooms that users of the first join without members: what tests of DESIGN §7 share. */
import type { ServerName } from '../../src/matrix/ids.ts';
import type { RoomEvent } from '../../src/matrix/pdu.ts';
import { readDataFolder } from '../../src/storage/index.ts';
import { verifyData } from '../../src/verify.ts';
import { Client } from './client.ts';
import { type Edu, PartialResident } from './partial-resident.ts';
import { type ResidentRoom } from './resident-room.ts';
import { joinBy } from './rooms-between.ts';
import { type FederatedServer, type ServersOptions, startServers } from './servers.ts';
import type { TestCa } from './tls.ts';

const v3 = '/_matrix/client/v3';

export interface RoomEventOfClient {
  readonly event_id: string;
  readonly type: string;
  readonly state_key?: string;
  readonly sender: string;
  readonly content: Record<string, unknown>;
}

export interface SyncedRoom {
  readonly timeline: { readonly events: RoomEventOfClient[]; readonly limited?: boolean; readonly prev_batch?: string };
  readonly state?: { readonly events: RoomEventOfClient[] };
  readonly state_after?: { readonly events: RoomEventOfClient[] };
  readonly 'org.matrix.msc4222.state_after'?: { readonly events: RoomEventOfClient[] };
  readonly ephemeral?: { readonly events: { type: string; content: Record<string, unknown> }[] };
  readonly unread_notifications?: { readonly notification_count?: number };
  readonly summary?: Record<string, unknown>;
}

export interface Synced {
  readonly next_batch: string;
  readonly rooms?: {
    readonly join?: Record<string, SyncedRoom>;
    readonly leave?: Record<string, SyncedRoom>;
  };
  readonly presence?: { readonly events: RoomEventOfClient[] };
  readonly to_device?: { readonly events: { type: string; sender: string; content: unknown }[] };
  readonly device_lists?: { readonly changed?: string[]; readonly left?: string[] };
}

export interface SyncWish {
  readonly since?: string | undefined;
  readonly timeout?: number;
  readonly limit?: number;
  /** Members that are needed only. */
  readonly lazy?: boolean;
  readonly stateAfter?: boolean;
  readonly includeLeave?: boolean;
}

export async function sync(user: Client, wish: SyncWish = {}): Promise<Synced> {
  const { since, timeout = 0, limit, lazy = false, stateAfter = false, includeLeave = false } = wish;
  const filter = {
    room: {
      include_leave: includeLeave,
      ...(lazy ? { state: { lazy_load_members: true } } : {}),
      ...(limit === undefined ? {} : { timeline: { limit } }),
    },
  };
  const query = new URLSearchParams({
    filter: JSON.stringify(filter),
    timeout: String(timeout),
    ...(since === undefined ? {} : { since }),
    ...(stateAfter ? { use_state_after: 'true' } : {}),
  });
  return (await user.must('GET', `${v3}/sync?${query}`)) as unknown as Synced;
}

export const lazySync = (user: Client, since?: string, wish: SyncWish = {}): Promise<Synced> =>
  sync(user, { ...wish, since, lazy: true });

/** Asks until the answer is as it should be; fails with the last one after ten seconds. */
export async function eventually<T>(ask: () => T | Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const answer = await ask();
    if (isRight(answer)) return answer;
    if (Date.now() > end) throw new Error(`it did not come to be: ${JSON.stringify(answer)?.slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Follows a user's sync from a token on until an answer is as it should be. */
export async function syncUntil(
  user: Client,
  since: string | undefined,
  isRight: (answer: Synced) => boolean,
  wish: SyncWish = { lazy: true },
): Promise<Synced> {
  let from = since;
  return eventually(async () => {
    const answer = await sync(user, { ...wish, since: from, timeout: from === undefined ? 0 : 1000 });
    from = answer.next_batch;
    return answer;
  }, isRight);
}

export const keysOf = (events: readonly RoomEventOfClient[] = []): string[] =>
  events.map(({ type, state_key: key = '' }) => `${type}|${key}`);

/** What the room's part of an answer says; fails where there is none. */
export function joinedRoom(answer: Synced, room: ResidentRoom): SyncedRoom {
  const found = answer.rooms?.join?.[room.id];
  if (found === undefined) throw new Error('the room is not in the answer');
  return found;
}

export const holdsEvent = (answer: Synced, room: ResidentRoom, eventId: string): boolean =>
  answer.rooms?.join?.[room.id]?.timeline.events.some(({ event_id: id }) => id === eventId) === true;

export const isIn = (answer: Synced, room: ResidentRoom): boolean => answer.rooms?.join?.[room.id] !== undefined;

/** Resolves to whether a promise is settled after a moment in which everything that is ready has its turn. */
export async function isSettled(promise: Promise<unknown>, ms = 150): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await new Promise((resolve) => setTimeout(resolve, ms));
  return settled;
}

let users = 0;

/** What a user's membership becomes by the state and the timeline of one reply. */
export function membershipIn(answer: Synced, part: 'join' | 'leave', room: ResidentRoom, user: string): unknown {
  const found = answer.rooms?.[part]?.[room.id];
  const events = [...(found?.state?.events ?? []), ...(found?.timeline.events ?? [])];
  return events.findLast((event) => event.type === 'm.room.member' && event.state_key === user)?.content.membership;
}

/** Auth events of an event that these member events, and no others, let through. */
export const citing = (room: ResidentRoom, ...members: readonly RoomEvent[]): string[] => [
  room.current('m.room.power_levels').eventId,
  ...members.map(({ eventId }) => eventId),
];

export class PartialStage implements AsyncDisposable {
  server!: FederatedServer;
  resident!: PartialResident;
  /** Another server in the resident's rooms. */
  second!: PartialResident;
  ca!: TestCa;

  /** Starts the servers; before, there is nothing here. */
  async open(options: ServersOptions = {}): Promise<void> {
    const { servers, ca } = await startServers(1, options);
    const [server] = servers;
    if (server === undefined) throw new Error('no server');
    const resident = await PartialResident.start(ca);
    const second = await PartialResident.start(ca, resident);
    Object.assign(this, { server, resident, second, ca });
  }

  /** A member of the resident's rooms. */
  get derek(): string {
    return this.resident.user('derek');
  }

  /** Somebody of a resident whom no other test knows. */
  stranger(of: PartialResident = this.resident): string {
    users += 1;
    return of.user(`elsie${users}`);
  }

  /** A new user of the whole server. */
  user(localpart = 'alice'): Promise<Client> {
    users += 1;
    return this.server.user(`${localpart}${users}`);
  }

  /** A new administrator of the whole server. */
  async admin(): Promise<Client> {
    users += 1;
    const [user, password] = [`admin${users}`, 'correct horse battery'];
    await this.server.app.createUser({ localpart: user, password, admin: true });
    const identifier = { type: 'm.id.user', user };
    const anonymous = new Client(this.server.baseUrl);
    const body = await anonymous.must('POST', `${v3}/login`, { type: 'm.login.password', identifier, password });
    const [userId, deviceId, token] = [body.user_id, body.device_id, body.access_token].map(String);
    return new Client(this.server.baseUrl, { userId: userId ?? '', deviceId: deviceId ?? '', token: token ?? '' });
  }

  async join(user: Client, room: ResidentRoom): Promise<void> {
    const { status, body } = await joinBy(user, room.id, [this.resident.name]);
    if (status !== 200) throw new Error(`the join was refused: ${status} ${JSON.stringify(body)}`);
  }

  /** A new user who has joined a new room without its members. */
  async joined(levels: Record<string, number> = {}): Promise<{ readonly alice: Client; readonly room: ResidentRoom }> {
    const [alice, room] = [await this.user(), this.resident.openRoom(levels)];
    await this.join(alice, room);
    return { alice, room };
  }

  /** The resident hands events over. */
  async send(...events: RoomEvent[]): Promise<void> {
    await this.resident.send(this.server, events);
  }

  async edu(type: string, content: Record<string, unknown>, from = this.resident): Promise<void> {
    await from.send(this.server, [], [{ edu_type: type, content } as Edu]);
  }

  /** Status of reading an event, which is 200 once it is here and 404 before, and for what was rejected. */
  async eventStatus(user: Client, room: ResidentRoom, eventId: string): Promise<number> {
    return (await user.ask('GET', `${room.path}/event/${encodeURIComponent(eventId)}`)).status;
  }

  async arrived(user: Client, room: ResidentRoom, eventId: string): Promise<void> {
    await eventually(
      () => this.eventStatus(user, room, eventId),
      (status) => status === 200,
    );
  }

  /** Lets the resident answer and waits until the room has all its members. */
  async whole(user: Client, room: ResidentRoom): Promise<Record<string, unknown>> {
    room.release();
    await eventually(
      () => this.partialRooms(room),
      (line) => line === '',
    );
    const { joined } = await user.must('GET', `${room.path}/joined_members`);
    return joined as Record<string, unknown>;
  }

  /** What `neurite verify` finds in the server's data. */
  async faults(): Promise<string[]> {
    const folder = readDataFolder(this.server.data, this.server.name);
    if (!folder.ok) throw new Error(folder.error.message);
    const found: string[] = [];
    const following = { wait: true, onSkipped: (name: string) => void found.push(`skipped: ${name}`) };
    for await (const line of verifyData(folder.value, this.server.name as ServerName, following)) found.push(line);
    return found;
  }

  /** A line about each partial room, or about one; '' where it is not partial. */
  async partialRooms(room?: ResidentRoom): Promise<string> {
    const lines: string[] = [];
    await this.server.app.partialRooms({ action: 'list' }, (line) => lines.push(line));
    return lines.filter((line) => room === undefined || line.startsWith(room.id)).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const room of this.resident.rooms.values()) room.release();
    await this.server[Symbol.asyncDispose]();
    await this.second[Symbol.asyncDispose]();
    await this.resident[Symbol.asyncDispose]();
  }
}
