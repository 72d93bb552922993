/** What the users of a soak do, and what must be true when it is over. */
import type { Answer } from './client.ts';
import { changeBy, joinBy, roomPath } from './rooms-between.ts';
import type { SoakServer, SoakUser } from './soak-world.ts';

export interface SoakRoom {
  readonly id: string;
  readonly creator: SoakUser;
  /** Anchors other than the creator go and come again. */
  readonly isOpen: boolean;
}

/** An event that was answered with 200. */
export interface Acknowledged {
  readonly room: SoakRoom;
  readonly eventId: string;
  readonly user: SoakUser;
}

export interface SoakParts {
  readonly servers: readonly SoakServer[];
  readonly rooms: readonly SoakRoom[];
  readonly next: () => number;
}

/** A server that answers slowly gets nothing more. */
const mostInFlight = 12;

export class Soak {
  readonly acknowledged: Acknowledged[] = [];
  readonly #parts: SoakParts;
  readonly #busy = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #inFlight = new Map<SoakServer, number>();
  #count = 0;

  constructor(parts: SoakParts) {
    this.#parts = parts;
  }

  /** One thing that somebody does somewhere; it goes on beside what follows. */
  act(): void {
    const { servers, rooms } = this.#parts;
    const server = this.#pick(servers);
    const room = this.#pick(rooms);
    const dice = this.#parts.next();
    const user = dice < 0.7 ? server.anchor : this.#pick(server.others);
    const [kind, victim, via] = [this.#parts.next(), this.#pick(this.#pick(servers).others), this.#pick(servers)];
    const key = `${user.userId} ${room.id}`;
    const inFlight = this.#inFlight.get(server) ?? 0;
    if (!server.isUp || this.#busy.has(key) || inFlight >= mostInFlight) return;
    this.#busy.add(key);
    this.#inFlight.set(server, inFlight + 1);
    const work = user.isAnchor ? this.#byAnchor(user, room, kind, victim, via) : this.#byOther(user, room, kind, via);
    const running: Promise<void> = work
      // The server was killed: what it had done is not known.
      .catch(() => undefined)
      .finally(() => {
        this.#busy.delete(key);
        this.#inFlight.set(server, (this.#inFlight.get(server) ?? 1) - 1);
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  /** Everything under way has been answered, or never will be. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** @returns the event id when it was answered */
  async message(user: SoakUser, room: SoakRoom): Promise<string | undefined> {
    const count = (this.#count += 1);
    const path = `${roomPath(room.id)}/send/m.room.message/t${count}${this.#time(user)}`;
    return this.#told(user, room, await user.client.ask('PUT', path, { msgtype: 'm.text', body: `text ${count}` }));
  }

  async #byAnchor(user: SoakUser, room: SoakRoom, kind: number, victim: SoakUser, via: SoakServer): Promise<void> {
    if (kind < 0.55) return void (await this.message(user, room));
    if (kind < 0.72) return this.#state(user, room, kind);
    if (kind < 0.76) return this.#power(user, room);
    if (kind < 0.8) return this.#redact(user, room);
    if (kind < 0.92 || !room.isOpen || user === room.creator) {
      const action = kind < 0.85 ? 'kick' : kind < 0.88 ? 'ban' : 'unban';
      await changeBy(user.client, room.id, action, { user_id: victim.userId });
      return;
    }
    await changeBy(user.client, room.id, 'leave');
    await joinBy(user.client, room.id, [via.name]);
  }

  async #byOther(user: SoakUser, room: SoakRoom, kind: number, via: SoakServer): Promise<void> {
    if (kind < 0.6) return void (await this.message(user, room));
    if (kind < 0.75) return void (await changeBy(user.client, room.id, 'leave'));
    await joinBy(user.client, room.id, [via.name]);
  }

  async #state(user: SoakUser, room: SoakRoom, kind: number): Promise<void> {
    const count = (this.#count += 1);
    const [type, content] =
      kind < 0.6
        ? ['m.room.topic/', { topic: `topic ${count}` }]
        : kind < 0.64
          ? ['m.room.name/', { name: `name ${count}` }]
          : [`org.neurite.soak/${Math.floor(kind * 1000) % 5}`, { count }];
    const path = `${roomPath(room.id)}/state/${type}${this.#time(user)}`;
    this.#told(user, room, await user.client.ask('PUT', path, content));
  }

  /** Changes a level that nobody needs: the power levels fork, and nobody loses his power. */
  async #power(user: SoakUser, room: SoakRoom): Promise<void> {
    const path = `${roomPath(room.id)}/state/m.room.power_levels/`;
    const { status, body } = await user.client.ask('GET', path);
    if (status !== 200) return;
    const count = (this.#count += 1);
    const events = { ...(body['events'] as Record<string, number>), 'org.neurite.level': count % 50 };
    this.#told(user, room, await user.client.ask('PUT', path + this.#time(user), { ...body, events }));
  }

  async #redact(user: SoakUser, room: SoakRoom): Promise<void> {
    const own = this.acknowledged.filter((one) => one.user === user && one.room === room);
    const target = own[Math.floor((this.#count * 7) % Math.max(1, own.length))];
    if (target === undefined) return;
    const path = `${roomPath(room.id)}/redact/${encodeURIComponent(target.eventId)}/r${(this.#count += 1)}`;
    await user.client.ask('PUT', path, {});
  }

  #told(user: SoakUser, room: SoakRoom, { status, body }: Answer): string | undefined {
    if (status !== 200) return undefined;
    const eventId = String(body['event_id']);
    this.acknowledged.push({ room, eventId, user });
    return eventId;
  }

  #time({ skewMs }: SoakUser): string {
    return skewMs === 0 ? '' : `?ts=${Date.now() + skewMs}`;
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#parts.next() * list.length)] as T;
  }
}

interface FullEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  readonly state_key?: string;
  readonly content: Record<string, unknown>;
}

/** Members sorted, so that two texts of one value are equal. */
const canonical = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(canonical)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, one]) => [key, canonical(one)]),
        )
      : value;

/** What a server shows of a room: its state, and the events of anchors in its timeline with their content. */
export interface View {
  readonly state: readonly string[];
  readonly timeline: ReadonlyMap<string, string>;
}

/**
 * @param anchors ids of the users whose events must be everywhere: those of the others may be accepted where they were
 *   sent and soft-failed where a ban had come before them
 */
export async function viewOf({ anchor }: SoakServer, room: SoakRoom, anchors: ReadonlySet<string>): Promise<View> {
  const answer = await anchor.client.ask('GET', `${roomPath(room.id)}/state`);
  if (answer.status !== 200) return { state: [`status ${answer.status}`], timeline: new Map() };
  const state = (answer.body as unknown as FullEvent[])
    .map(({ type, state_key: key, event_id: id }) => `${type}|${key}|${id}`)
    .sort();
  const timeline = new Map<string, string>();
  for (const { event_id: id, sender, type, content } of await anchor.client.history(room.id)) {
    if (timeline.has(id)) throw new Error(`${anchor.userId} sees ${id} twice`);
    if (anchors.has(sender)) timeline.set(id, `${type} ${JSON.stringify(canonical(content))}`);
  }
  return { state, timeline };
}

/** One line for each way in which two servers' views of a room differ. */
export function differences(one: View, other: View): string[] {
  const lines: string[] = [];
  for (const entry of one.state) if (!other.state.includes(entry)) lines.push(`state - ${entry}`);
  for (const entry of other.state) if (!one.state.includes(entry)) lines.push(`state + ${entry}`);
  for (const [id, content] of one.timeline) {
    const there = other.timeline.get(id);
    if (there === undefined) lines.push(`timeline - ${id} ${content}`);
    else if (there !== content) lines.push(`timeline: ${id} ${content} | ${there}`);
  }
  for (const [id, content] of other.timeline) if (!one.timeline.has(id)) lines.push(`timeline + ${id} ${content}`);
  return lines;
}
