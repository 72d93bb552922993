/** What concerns users of ours in rooms that we are not in: handed on to who knows of their invites. */
import type { ServerName } from '../../matrix/ids.ts';

/** An answer for one PDU; `error` undefined: it was taken. */
export interface PduAnswer {
  readonly eventId: string;
  readonly error: string | undefined;
}

export interface OutOfBandHandler {
  /**
   * Takes an event of a room that this server is not in (a retracted invite); undefined when it concerns nobody here.
   * Nothing about the text was checked.
   */
  receive(origin: ServerName, roomId: string, text: string): Promise<PduAnswer | undefined>;
}
