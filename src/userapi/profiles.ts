/**
 * Global profiles (C-S API v1.19 §Profiles): display name, avatar and custom fields of local users. How a change reaches
 * the rooms is `member-events.ts`.
 */
import type { Bus } from '../bus/index.ts';
import { isNamespacedId, type UserId } from '../matrix/ids.ts';
import { matrixError } from '../matrix/errors.ts';
import type { JsonObject, JsonValue } from '../matrix/json.ts';
import { sql, type Position, type Snapshot, type Tx } from '../storage/index.ts';
import { utf8Length } from '../util/bytes.ts';

/** The part of a profile that member events carry. */
export interface MemberProfile {
  readonly displayname?: string;
  readonly avatar_url?: string;
}

const selectFields = sql<[userId: string], { field: string; value: string }>(
  'SELECT field, value FROM userapi_profiles WHERE user_id = ? ORDER BY field',
);
const selectField = sql<[userId: string, field: string], { value: string }>(
  'SELECT value FROM userapi_profiles WHERE user_id = ? AND field = ?',
);
const upsertField = sql<[userId: string, field: string, value: string, position: number]>(
  `INSERT INTO userapi_profiles (user_id, field, value, position) VALUES (?, ?, ?, ?)
   ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value, position = excluded.position`,
);
const deleteField = sql<[userId: string, field: string]>(
  'DELETE FROM userapi_profiles WHERE user_id = ? AND field = ?',
);
const deleteFields = sql<[userId: string]>('DELETE FROM userapi_profiles WHERE user_id = ?');

/** Bytes of the whole profile, and of a field's name. */
const maxProfile = 65_536;
const maxFieldName = 255;
/** Characters. */
const maxNames: Readonly<Record<string, number>> = { displayname: 256, avatar_url: 1000 };

/** @throws M_KEY_TOO_LARGE, M_INVALID_PARAM */
export function checkFieldName(field: string): void {
  if (utf8Length(field) > maxFieldName) throw matrixError.keyTooLarge();
  if (!isNamespacedId(field)) throw matrixError.invalidParam('The name of the profile field is not valid');
}

export class Profiles {
  readonly #bus: Pick<Bus, 'append'>;

  constructor(bus: Pick<Bus, 'append'>) {
    this.#bus = bus;
  }

  get(snapshot: Snapshot, userId: UserId): JsonObject {
    const rows = snapshot.all(selectFields, userId);
    return Object.fromEntries(rows.map(({ field, value }) => [field, JSON.parse(value) as JsonValue]));
  }

  field(snapshot: Snapshot, userId: UserId, field: string): JsonValue | undefined {
    const row = snapshot.get(selectField, userId, field);
    return row === undefined ? undefined : (JSON.parse(row.value) as JsonValue);
  }

  /** What a member event of this user carries. */
  ofMember(snapshot: Snapshot, userId: UserId): MemberProfile {
    const displayname = this.field(snapshot, userId, 'displayname');
    const avatar = this.field(snapshot, userId, 'avatar_url');
    return {
      ...(typeof displayname === 'string' ? { displayname } : {}),
      ...(typeof avatar === 'string' ? { avatar_url: avatar } : {}),
    };
  }

  /**
   * Sets a field; false when it had this value already. An empty display name or avatar removes it.
   * @throws M_KEY_TOO_LARGE, M_INVALID_PARAM, M_PROFILE_TOO_LARGE
   */
  set(tx: Tx, userId: UserId, field: string, value: JsonValue): boolean {
    checkFieldName(field);
    const longest = maxNames[field];
    if (longest !== undefined) {
      if (typeof value !== 'string') throw matrixError.invalidParam(`${field} must be a string`);
      if (value.length > longest) throw matrixError.invalidParam(`${field} has at most ${longest} characters`);
      if (value === '') return this.delete(tx, userId, field);
    }
    const text = JSON.stringify(value);
    if (tx.get(selectField, userId, field)?.value === text) return false;
    const whole = JSON.stringify({ ...this.get(tx, userId), [field]: value });
    if (utf8Length(whole) > maxProfile) throw matrixError.profileTooLarge();
    const position = tx.nextPosition();
    tx.run(upsertField, userId, field, text, position);
    this.#changed(tx, userId, position);
    return true;
  }

  /** Removes a field; false when there was none. @throws M_KEY_TOO_LARGE, M_INVALID_PARAM */
  delete(tx: Tx, userId: UserId, field: string): boolean {
    checkFieldName(field);
    if (tx.run(deleteField, userId, field).changes === 0) return false;
    this.#changed(tx, userId);
    return true;
  }

  /** Removes the whole profile (deactivation). */
  clear(tx: Tx, userId: UserId): void {
    if (tx.run(deleteFields, userId).changes > 0) this.#changed(tx, userId);
  }

  #changed(tx: Tx, userId: UserId, position: Position = tx.nextPosition()): void {
    this.#bus.append(tx, { topic: 'user.profile', user: userId }, position);
  }
}
