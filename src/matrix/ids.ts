/**
 * Identifiers of the specification (Appendices v1.19 §Identifier Grammar) as branded strings.
 * `parse*` functions decide what enters; everything else in the code takes the brand and trusts it.
 */
declare const brand: unique symbol;
type Brand<B extends string> = string & { readonly [brand]: B };

export type ServerName = Brand<'ServerName'>;
/** `@localpart:server` */
export type UserId = Brand<'UserId'>;
/** `!opaque:server`, or `!hash` from room version 12 on. */
export type RoomId = Brand<'RoomId'>;
/** `#alias:server` */
export type RoomAlias = Brand<'RoomAlias'>;
/** `$opaque:server` in room versions 1 and 2, `$hash` later. */
export type EventId = Brand<'EventId'>;
export type DeviceId = Brand<'DeviceId'>;
