/** What inbound hands on to others: ephemeral data, and what concerns users of ours in rooms that we are not in. */
import type { ServerName } from '../../matrix/ids.ts';
import type { JsonObject } from '../../matrix/json.ts';

export interface Edu {
  /** `edu_type` */
  readonly type: string;
  readonly content: JsonObject;
}

export interface EduHandler {
  /**
   * Takes the EDUs of one transaction in their order; resolves when what must not be lost is on disk. Waits for no
   * network, and ignores what the origin may not say. The same may come twice.
   */
  handle(origin: ServerName, edus: readonly Edu[]): Promise<void>;
}

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
