/** Knocking on a room that this server is not in (S-S API v1.19 §Knocking upon a room). */
import type { FederationFault } from '../../fedclient/index.ts';
import type { RoomId, UserId } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';
import type { RoomEvent } from '../../matrix/pdu.ts';
import { roomVersions, type RoomVersionRules } from '../../matrix/room-versions.ts';
import { strippedStateFields } from '../../matrix/stored-event.ts';
import { type Result, ok } from '../../util/result.ts';
import type { RemoteLeaveParts } from './leave-room.ts';
import { askInTurn, refusalOf } from './residents.ts';
import { fromTemplate } from './template.ts';

export interface RemoteKnock {
  readonly roomId: RoomId;
  readonly user: UserId;
  readonly content: JsonObject;
  readonly servers: readonly string[];
}

interface Knocked {
  readonly event: RoomEvent;
  readonly rules: RoomVersionRules;
  /** Raw entries of `knock_room_state`. */
  readonly state: readonly string[];
}

const patienceMs = 60_000;

export class RemoteKnocking {
  readonly #parts: RemoteLeaveParts;

  constructor(parts: RemoteLeaveParts) {
    this.#parts = parts;
  }

  /** Knocks by the first server that takes it. @throws what the servers said: M_FORBIDDEN, M_NOT_FOUND and others */
  async knock({ roomId, user, content, servers }: RemoteKnock): Promise<void> {
    const { db, rooms, federation, serverName, clock, outOfBand } = this.#parts;
    const asking = { serverName, clock, patienceMs, permits: (server: string) => federation.permits(server) };
    const options = { ignoreBackoff: true };
    const found = await askInTurn(servers, asking, async (server): Promise<Result<Knocked, FederationFault>> => {
      const made = await federation.api.makeKnock(server, roomId, user, versions, options);
      if (!made.ok) return made;
      const about = { roomId, user, membership: 'knock' as const, content, origin: serverName, now: clock.now() };
      const member = fromTemplate(rooms, made.value, about);
      if (!member.ok) return member;
      const { event, rules, text } = member.value;
      const sent = await federation.api.sendKnock(server, roomId, event.eventId, text, options);
      return sent.ok ? ok({ event, rules, state: sent.value }) : sent;
    });
    if ('faults' in found) throw refusalOf(found.faults);
    const { event, rules, state } = found.answer;
    // "Entries which are improperly signed or formatted SHOULD be removed".
    const stripped = await outOfBand.stripped(state, rules, roomId, false);
    await db.write((tx) => {
      const room = rooms.outsideRoom(tx, roomId, rules);
      outOfBand.record(tx, room, user, 'knock', event, [...stripped, strippedStateFields(event)]);
    });
  }
}

const versions = [...roomVersions.values()].filter(({ knocking }) => knocking).map(({ version }) => version);
