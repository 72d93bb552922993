/** What tests of several servers ask of their users' clients. */
import type { Answer, Client } from './client.ts';

const v3 = '/_matrix/client/v3';
export const roomPath = (roomId: string): string => `${v3}/rooms/${encodeURIComponent(roomId)}`;

export interface StrippedEvent {
  readonly type: string;
  readonly state_key: string;
  readonly sender: string;
  readonly content: Record<string, unknown>;
}

/** The rooms of a /sync response as far as these tests look at them. */
export interface SyncRooms {
  readonly next_batch: string;
  readonly rooms?: {
    readonly join?: Record<string, unknown>;
    readonly invite?: Record<string, { readonly invite_state: { readonly events: StrippedEvent[] } }>;
    readonly knock?: Record<string, { readonly knock_state: { readonly events: StrippedEvent[] } }>;
    readonly leave?: Record<string, { readonly timeline?: { readonly events: StrippedEvent[] } }>;
  };
}

export const joinBy = (user: Client, room: string, via: readonly string[]): Promise<Answer> =>
  user.ask('POST', `${v3}/join/${encodeURIComponent(room)}?${via.map((server) => `via=${server}`).join('&')}`, {});

export const knockBy = (user: Client, room: string, via: readonly string[]): Promise<Answer> =>
  user.ask('POST', `${v3}/knock/${encodeURIComponent(room)}?${via.map((server) => `via=${server}`).join('&')}`, {
    reason: 'let me in',
  });

export const changeBy = (user: Client, roomId: string, action: string, body: unknown = {}): Promise<Answer> =>
  user.ask('POST', `${roomPath(roomId)}/${action}`, body);

export const invite = (user: Client, roomId: string, target: Client): Promise<Answer> =>
  changeBy(user, roomId, 'invite', { user_id: target.userId });

/** Membership of a user as another one's server has it. */
export async function membershipBy(user: Client, roomId: string, target: Client): Promise<unknown> {
  const path = `${roomPath(roomId)}/state/m.room.member/${encodeURIComponent(target.userId)}`;
  const { status, body } = await user.ask('GET', path);
  return status === 200 ? body.membership : status;
}

/** `type|state_key` of the state that a user's server has. */
export async function stateBy(user: Client, roomId: string): Promise<string[]> {
  const answer = await user.ask('GET', `${roomPath(roomId)}/state`);
  const events = answer.body as unknown as readonly { type: string; state_key: string; event_id: string }[];
  return events.map(({ type, state_key: key, event_id: id }) => `${type}|${key}|${id}`).sort();
}

export const syncRooms = (user: Client, since?: string, timeout = 0): Promise<SyncRooms> => {
  const filter = JSON.stringify({ room: { include_leave: true } });
  return user.must(
    'GET',
    `${v3}/sync?timeout=${timeout}&filter=${encodeURIComponent(filter)}${since === undefined ? '' : `&since=${since}`}`,
  ) as unknown as Promise<SyncRooms>;
};
