/**
 * Persistent data units (S-S API v1.19 §PDUs; one format per room version). `Pdu` is the wire object; `RoomEvent` is
 * what the rest of the code works with: ids resolved, references plain, one shape for all room versions.
 */
import type { EventId, RoomId, UserId } from './ids.ts';
import type { JsonObject } from './json.ts';

/** The object as it travels between servers. Fields beyond these are kept and signed. */
export interface Pdu extends JsonObject {
  type: string;
  sender: string;
  content: JsonObject;
  origin_server_ts: number;
}

/** An event whose format was checked. Immutable; shared freely. */
export interface RoomEvent {
  readonly eventId: EventId;
  /** Of a version 12 create event: derived from its own hash. */
  readonly roomId: RoomId;
  readonly type: string;
  /** Absent: not a state event. */
  readonly stateKey: string | undefined;
  readonly sender: UserId;
  readonly content: JsonObject;
  readonly originServerTs: number;
  /** Clamped to 2^53-1 (versions 1–5 allow up to 2^63-1). */
  readonly depth: number;
  readonly prevEvents: readonly EventId[];
  /** As cited by the event; in version 12 the create event is not among them (it is implied by the room id). */
  readonly authEvents: readonly EventId[];
  /** The event that a redaction names, wherever the version puts it. */
  readonly redacts: EventId | undefined;
  readonly pdu: Pdu;
}
