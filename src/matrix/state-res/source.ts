/**
 * What state resolution reads and gives back. Events are numbers (NIDs) in an order in which an event's auth events
 * always have lower numbers, and an auth record says of each what resolution needs, so that the store can answer from
 * plain columns and parses JSON only where an auth rule looks into a content.
 */
import type { AuthChecks, AuthEvent } from '../auth-types.ts';
import type { RoomVersionRules } from '../room-versions.ts';

/** What resolution knows of a state event. */
export interface AuthRecord {
  readonly nid: number;
  readonly eventId: string;
  readonly type: string;
  readonly stateKey: string;
  readonly sender: string;
  /** `content.membership` of a member event. */
  readonly membership: string | undefined;
  /**
   * For a member event: an auth rule reads more of it than the membership (its content has `third_party_invite` or
   * `join_authorised_via_users_server`). Others are read in full anyway.
   */
  readonly needsContent: boolean;
  readonly originServerTs: number;
  readonly depth: number;
  /** The auth events that are stored, each with a lower NID than this one's. */
  readonly authNids: ArrayLike<number>;
  /** Rejected events neither win nor serve as authority. */
  readonly rejected: boolean;
}

/** Where the events of one room come from. Both functions are asked again and again: answer from memory. */
export interface ResolutionSource {
  readonly roomId: string;
  /** The create event, which in version 12 no event cites; 0 when there is none. */
  readonly createNid: number;
  /** Undefined for an event that is not stored; it then counts as if nobody had named it. */
  record(nid: number): AuthRecord | undefined;
  /** The whole event, asked only for events whose content matters. */
  event(nid: number): AuthEvent | undefined;
}

/** What all state sets have in common. */
export interface UnconflictedState {
  get(type: string, stateKey: string): number | undefined;
  /** All its events in any order; asked at most once. */
  nids(): ArrayLike<number>;
}

/** One resolution: only the tuples on which the state sets differ need be listed. */
export interface ConflictInput {
  /**
   * Per state set, its events for those tuples that do not have the same event in *every* set. A set that has none of
   * them still has its (empty) list.
   */
  readonly conflicted: readonly ArrayLike<number>[];
  readonly unconflicted: UnconflictedState;
  readonly source: ResolutionSource;
  readonly rules: RoomVersionRules;
  readonly checks: AuthChecks;
}

/**
 * The winners: one record per tuple outside the unconflicted state. A conflicted tuple that is missing here has no event
 * in the resolved state.
 */
export type Winners = readonly AuthRecord[];

/** A computation in slices: every `yield` is a moment at which the caller may let others work. */
export type Sliced<T> = Generator<void, T>;

/** Events handled between two yields. */
export const sliceLength = 256;
