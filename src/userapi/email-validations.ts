/**
 * Proving an e-mail address by a mail with a link (C-S API v1.19 `…/email/requestToken`, Identity Service API
 * §Email associations). A session is good for the purpose that it was asked for, and for whoever knows its secret.
 */
import { matrixError } from '../matrix/errors.ts';
import { sql, type Database, type Snapshot, type Tx } from '../storage/index.ts';
import { equalBytes } from '../util/bytes.ts';
import type { Clock } from '../util/clock.ts';
import type { Mailer } from '../util/mailer.ts';
import { newOpaqueId, tokenHash } from './secrets.ts';
import { validationMail } from './validation-mail.ts';

/** What the proven address is for: a new account, a new password, an account that exists. */
export type Purpose = 'register' | 'password' | 'add';

export interface ValidationWish {
  readonly purpose: Purpose;
  readonly email: string;
  readonly clientSecret: string;
  readonly sendAttempt: number;
  readonly nextLink: string | undefined;
}

/** What a client names a session by. */
export interface ValidationKey {
  readonly sid: string;
  readonly clientSecret: string;
}

export interface ProvenEmail {
  readonly sid: string;
  readonly purpose: Purpose;
  readonly address: string;
  /** ms */
  readonly validatedAt: number;
}

interface Row {
  sid: string;
  purpose: Purpose;
  address: string;
  client_secret: string;
  token_hash: Uint8Array;
  send_attempt: number;
  next_link: string | null;
  created_at: number;
  validated_at: number | null;
}

const columns = 'sid, purpose, address, client_secret, token_hash, send_attempt, next_link, created_at, validated_at';
const selectBySid = sql<[sid: string], Row>(`SELECT ${columns} FROM userapi_validations WHERE sid = ?`);
const selectByClient = sql<[address: string, secret: string, purpose: string], Row>(
  `SELECT ${columns} FROM userapi_validations WHERE address = ? AND client_secret = ? AND purpose = ?`,
);
const insertSession = sql<
  [
    sid: string,
    purpose: string,
    address: string,
    secret: string,
    hash: Uint8Array,
    attempt: number,
    next: string | null,
    now: number,
  ]
>(`INSERT INTO userapi_validations (sid, purpose, address, client_secret, token_hash, send_attempt, next_link, created_at)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
const updateToken = sql<[hash: Uint8Array, attempt: number, next: string | null, sid: string]>(
  'UPDATE userapi_validations SET token_hash = ?, send_attempt = ?, next_link = ? WHERE sid = ?',
);
const updateAttempt = sql<[attempt: number, sid: string]>(
  'UPDATE userapi_validations SET send_attempt = ? WHERE sid = ?',
);
const updateValidated = sql<[now: number, sid: string]>(
  'UPDATE userapi_validations SET validated_at = coalesce(validated_at, ?) WHERE sid = ?',
);
const deleteSession = sql<[sid: string]>('DELETE FROM userapi_validations WHERE sid = ?');
const deleteOld = sql<[before: number]>('DELETE FROM userapi_validations WHERE created_at <= ?');

/** ms from the first request to the last use. */
const lifetimes: Readonly<Record<Purpose, number>> = { register: 86_400_000, add: 86_400_000, password: 3_600_000 };

/** Where the link of a mail leads. */
export const submitPath = '/_matrix/client/unstable/org.neurite/email/submit_token';

export interface EmailValidationParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly serverName: string;
  /** Without trailing slash. */
  readonly baseUrl: string;
  /** Absent: no mails are sent. */
  readonly mailer: Mailer | undefined;
}

export class EmailValidations {
  readonly #parts: EmailValidationParts;

  constructor(parts: EmailValidationParts) {
    this.#parts = parts;
  }

  /** Whether addresses can be proven at all. */
  get isPossible(): boolean {
    return this.#parts.mailer !== undefined;
  }

  /**
   * Sends a mail with a link, unless one was sent for this attempt; returns the session's id.
   * @throws M_THREEPID_MEDIUM_NOT_SUPPORTED without a mail server, M_INVALID_PARAM, M_EMAIL_SEND_ERROR
   */
  async request(wish: ValidationWish): Promise<string> {
    const { db, mailer, serverName, baseUrl } = this.#parts;
    if (mailer === undefined) throw matrixError.threepidMediumNotSupported();
    checkWish(wish);
    const token = newOpaqueId();
    const { sid, isNew } = await db.write((tx) => this.#begin(tx, wish, tokenHash(token)));
    if (!isNew) return sid;
    const query = new URLSearchParams({ sid, client_secret: wish.clientSecret, token });
    try {
      await mailer.send(
        validationMail(wish.purpose, wish.email, serverName, `${baseUrl}${submitPath}?${query.toString()}`),
      );
    } catch (error) {
      // The client may try again with the same attempt.
      await db.write((tx) => void tx.run(updateAttempt, wish.sendAttempt - 1, sid));
      throw Object.assign(matrixError.emailSendError(), { cause: error });
    }
    return sid;
  }

  /** Which request a link belongs to, for the page that it opens. @throws as {@link submit} */
  inspect(key: ValidationKey, token: string): Purpose {
    return this.#parts.db.read((snapshot) => this.#holder(snapshot, key, token)).purpose;
  }

  /**
   * Proves the address; returns where the browser goes next, if anywhere.
   * @throws M_NO_VALID_SESSION, M_SESSION_EXPIRED, M_TOKEN_INCORRECT
   */
  submit(key: ValidationKey, token: string): Promise<string | undefined> {
    return this.#parts.db.write((tx) => {
      const row = this.#holder(tx, key, token);
      tx.run(updateValidated, this.#parts.clock.now(), row.sid);
      return row.next_link ?? undefined;
    });
  }

  /** The address that a session has proven; undefined when it is unknown, of another purpose, expired or not proven. */
  proven(snapshot: Snapshot, { sid, clientSecret }: ValidationKey, purpose: Purpose): ProvenEmail | undefined {
    const row = snapshot.get(selectBySid, sid);
    if (row === undefined || row.purpose !== purpose || !sameText(row.client_secret, clientSecret)) return undefined;
    if (row.validated_at === null || this.#hasExpired(row)) return undefined;
    return { sid, purpose, address: row.address, validatedAt: row.validated_at };
  }

  /** Ends a session whose proof was used. */
  end(tx: Tx, sid: string): void {
    tx.run(deleteSession, sid);
  }

  #hasExpired({ purpose, created_at: createdAt }: Row): boolean {
    return this.#parts.clock.now() > createdAt + lifetimes[purpose];
  }

  #holder(snapshot: Snapshot, { sid, clientSecret }: ValidationKey, token: string): Row {
    const row = snapshot.get(selectBySid, sid);
    if (row === undefined || !sameText(row.client_secret, clientSecret)) throw matrixError.noValidSession();
    if (this.#hasExpired(row)) throw matrixError.sessionExpired();
    if (!equalBytes(row.token_hash, tokenHash(token))) throw matrixError.tokenIncorrect();
    return row;
  }

  #begin(tx: Tx, wish: ValidationWish, hash: Uint8Array): { sid: string; isNew: boolean } {
    const { purpose, clientSecret, sendAttempt, nextLink = null } = wish;
    const now = this.#parts.clock.now();
    tx.run(deleteOld, now - lifetimes.register);
    const address = wish.email.toLowerCase();
    const known = tx.get(selectByClient, address, clientSecret, purpose);
    if (known !== undefined && !this.#hasExpired(known)) {
      // "The server will only send an email if the send_attempt is a number greater than the most recent one".
      const isNew = sendAttempt > known.send_attempt;
      if (isNew) tx.run(updateToken, hash, sendAttempt, nextLink, known.sid);
      return { sid: known.sid, isNew };
    }
    if (known !== undefined) tx.run(deleteSession, known.sid);
    const sid = newOpaqueId();
    tx.run(insertSession, sid, purpose, address, clientSecret, hash, sendAttempt, nextLink, now);
    return { sid, isNew: true };
  }
}

const sameText = (a: string, b: string): boolean => equalBytes(tokenHash(a), tokenHash(b));

function checkWish({ email, clientSecret, nextLink }: ValidationWish): void {
  if (email.length > 254 || !/^[^\s@<>"(),:;[\]\\]+@[^\s@<>"(),:;[\]\\]+$/.test(email)) {
    throw matrixError.invalidParam('This is not an e-mail address');
  }
  if (!/^[0-9a-zA-Z.=_-]{1,255}$/.test(clientSecret)) throw matrixError.invalidParam('client_secret is not valid');
  if (nextLink !== undefined && !(URL.canParse(nextLink) && /^https?:$/.test(new URL(nextLink).protocol))) {
    throw matrixError.invalidParam('next_link is not an http or https address');
  }
}
