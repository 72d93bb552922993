/** What tests of administered rooms have in common. */
import type { ServerName } from '../../src/matrix/ids.ts';
import { verifyRoomserver } from '../../src/roomserver/index.ts';
import { verifyThreadEvents } from '../../src/syncapi/index.ts';
import { enc, type AdminServer } from './admin.ts';
import { v3, type TestSession } from './userapi.ts';

export const verified = ({ db, modules }: AdminServer): string[] => [
  ...verifyRoomserver(db, 'localhost' as ServerName),
  ...verifyThreadEvents(db, modules.rooms),
];

/** Waits until a task of the administrator has ended. */
export async function finish({ modules }: AdminServer, id: string): Promise<void> {
  await modules.adminTasks.ended(id);
}

export async function history(server: AdminServer, by: TestSession, roomId: string): Promise<string[]> {
  const { json } = await server.client.get(`${v3}/rooms/${enc(roomId)}/messages?dir=b&limit=100`, by.token);
  return json.chunk.map(({ event_id: id }: { event_id: string }) => id);
}
