/**
 * Pagination tokens: cuts in a room's one order (INVARIANTS 12), shared by /sync, /messages, /context, /relations and
 * /threads. A token names the point behind a place: everything up to and with it lies before the token.
 *
 * - `P`: behind the whole slot P; every sync token is one
 * - `P_1`: before the live event of slot P, behind what was filled in before it
 * - `P_0_depth_n`: behind a filled-in event of slot P
 */
import { matrixError } from '../matrix/errors.ts';
import type { EventNid, Place } from '../roomserver/index.ts';
import { asPosition, type Position } from '../storage/index.ts';

/** A cut: all places up to and with this one lie before it; a Position stands for the end of its slot. */
export type Cut = Place | Position;

const tokenText = /^(\d{1,16})(?:_(?:(1)|0_(\d{1,16})_(\d{1,16})))?$/;

const asNid = (value: number): EventNid => value as EventNid;

/** Reads a pagination token; `name` is the parameter's. @throws M_INVALID_PARAM when it is none */
export function parseCut(text: string, name = 'from'): Cut {
  const match = tokenText.exec(text);
  const numbers = match?.slice(1).map((part) => Number(part ?? 0)) ?? [];
  const [slot, live, depth = 0, nid = 0] = numbers;
  if (match === null || slot === undefined || !numbers.every(Number.isSafeInteger)) {
    throw matrixError.invalidParam(`${name} is not a token that this server gave out`);
  }
  if (!text.includes('_')) return asPosition(slot);
  return { slot: asPosition(slot), live: live === 1 ? 1 : 0, depth, nid: asNid(nid) };
}

/** The token behind an event: paging backwards from it starts with the event, forwards with the next one. */
export const tokenAfter = (place: Place): string =>
  place.live === 1 ? String(place.slot) : `${place.slot}_0_${place.depth}_${place.nid}`;

/** The token before an event: paging forwards from it starts with the event, backwards with the one before. */
export const tokenBefore = (place: Place): string =>
  // A slot has one live event, and whatever is filled in later stands before it.
  place.live === 1 ? `${place.slot}_1` : `${place.slot}_0_${place.depth}_${place.nid - 1}`;

/** The cut right before an event. */
export const cutBefore = (place: Place): Place => ({ ...place, nid: asNid(place.nid - 1) });

/** Orders cuts and places, oldest first. */
export function compareCuts(one: Cut, other: Cut): number {
  const [a, b] = [placeOf(one), placeOf(other)];
  return a.slot - b.slot || a.live - b.live || a.depth - b.depth || a.nid - b.nid;
}

const placeOf = (cut: Cut): Place =>
  typeof cut === 'number'
    ? { slot: cut, live: 1, depth: Number.MAX_SAFE_INTEGER, nid: asNid(Number.MAX_SAFE_INTEGER) }
    : cut;

/** The last Position that lies wholly before a cut, for reading the room's state there. */
export const positionBefore = (cut: Cut): Position => (typeof cut === 'number' ? cut : asPosition(cut.slot - 1));

/** The earlier of two cuts. */
export const earlierCut = (one: Cut, other: Cut): Cut => (compareCuts(one, other) <= 0 ? one : other);
