/**
 * Standard error responses (C-S API v1.19 §Standard error response): one error class, one constructor for each code of
 * the specification. Thrown only at a request's edge; expected outcomes further in are values.
 */
import type { JsonObject } from './json.ts';

/** An error that a client or server is told: an HTTP status and the body `{errcode, error, …extra}`. */
export class MatrixError extends Error {
  override readonly name = 'MatrixError';
  readonly status: number;
  readonly errcode: string;
  readonly extra: JsonObject;

  constructor(status: number, errcode: string, message: string, extra: JsonObject = {}) {
    super(message);
    this.status = status;
    this.errcode = errcode;
    this.extra = extra;
  }

  /** The response body. */
  toJSON(): JsonObject {
    return { ...this.extra, errcode: this.errcode, error: this.message };
  }
}

/** Codes whose errors need nothing but a message: HTTP status, code, default message. */
const plain = {
  appserviceLoginUnsupported: [400, 'M_APPSERVICE_LOGIN_UNSUPPORTED', 'Application services cannot log in this way'],
  badAlias: [400, 'M_BAD_ALIAS', 'The alias does not point to this room'],
  badJson: [400, 'M_BAD_JSON', 'The request has the wrong shape'],
  badState: [403, 'M_BAD_STATE', 'The state change cannot be performed'],
  badStatus: [502, 'M_BAD_STATUS', 'The other side answered with an error'],
  cannotLeaveServerNoticeRoom: [403, 'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM', 'The server notices room cannot be left'],
  cannotOverwriteMedia: [409, 'M_CANNOT_OVERWRITE_MEDIA', 'This media already has content'],
  captchaInvalid: [400, 'M_CAPTCHA_INVALID', 'The captcha is wrong'],
  captchaNeeded: [400, 'M_CAPTCHA_NEEDED', 'A captcha is needed'],
  connectionFailed: [502, 'M_CONNECTION_FAILED', 'The connection failed'],
  connectionTimeout: [504, 'M_CONNECTION_TIMEOUT', 'The connection timed out'],
  destinationRejected: [400, 'M_DESTINATION_REJECTED', 'The destination was rejected'],
  duplicateAnnotation: [400, 'M_DUPLICATE_ANNOTATION', 'The same annotation was already sent'],
  emailSendError: [500, 'M_EMAIL_SEND_ERROR', 'The mail could not be sent'],
  exclusive: [400, 'M_EXCLUSIVE', 'The name is reserved by an application service'],
  forbidden: [403, 'M_FORBIDDEN', 'Forbidden'],
  guestAccessForbidden: [403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests may not do this'],
  invalidAddress: [400, 'M_INVALID_ADDRESS', 'The address is not valid'],
  invalidEmail: [400, 'M_INVALID_EMAIL', 'The mail address is not valid'],
  invalidParam: [400, 'M_INVALID_PARAM', 'A parameter has a wrong value'],
  invalidPepper: [400, 'M_INVALID_PEPPER', 'The pepper is wrong'],
  invalidRoomState: [400, 'M_INVALID_ROOM_STATE', 'The initial state of the room is not valid'],
  invalidSignature: [400, 'M_INVALID_SIGNATURE', 'A signature is not valid'],
  invalidUsername: [400, 'M_INVALID_USERNAME', 'The user name is not valid'],
  inviteBlocked: [403, 'M_INVITE_BLOCKED', 'The user does not take invites'],
  keyTooLarge: [400, 'M_KEY_TOO_LARGE', 'The name of the profile field exceeds 255 bytes'],
  missingParam: [400, 'M_MISSING_PARAM', 'A parameter is missing'],
  missingToken: [401, 'M_MISSING_TOKEN', 'The access token is missing'],
  noValidSession: [400, 'M_NO_VALID_SESSION', 'There is no such session'],
  notFound: [404, 'M_NOT_FOUND', 'Not found'],
  notJson: [400, 'M_NOT_JSON', 'The request is not JSON'],
  notYetUploaded: [504, 'M_NOT_YET_UPLOADED', 'The media has not been uploaded yet'],
  profileTooLarge: [400, 'M_PROFILE_TOO_LARGE', 'The profile exceeds 64 KiB'],
  roomInUse: [400, 'M_ROOM_IN_USE', 'The room alias is taken'],
  sendError: [400, 'M_SEND_ERROR', 'The message could not be sent'],
  serverNotTrusted: [400, 'M_SERVER_NOT_TRUSTED', 'The third-party server is not trusted'],
  sessionExpired: [400, 'M_SESSION_EXPIRED', 'The session has expired'],
  sessionNotValidated: [400, 'M_SESSION_NOT_VALIDATED', 'The session has not been validated'],
  termsNotSigned: [403, 'M_TERMS_NOT_SIGNED', 'The terms of service have not been accepted'],
  threepidAuthFailed: [400, 'M_THREEPID_AUTH_FAILED', 'The third-party identifier could not be authenticated'],
  threepidDenied: [403, 'M_THREEPID_DENIED', 'This third-party identifier is not permitted'],
  threepidInUse: [400, 'M_THREEPID_IN_USE', 'The third-party identifier is in use'],
  threepidMediumNotSupported: [
    400,
    'M_THREEPID_MEDIUM_NOT_SUPPORTED',
    'Third-party identifiers of this medium are not supported',
  ],
  threepidNotFound: [400, 'M_THREEPID_NOT_FOUND', 'The third-party identifier is not known'],
  tokenIncorrect: [400, 'M_TOKEN_INCORRECT', 'The token is wrong'],
  tooLarge: [413, 'M_TOO_LARGE', 'The request is too large'],
  unableToAuthoriseJoin: [400, 'M_UNABLE_TO_AUTHORISE_JOIN', 'This server cannot tell whether the user may join'],
  unableToGrantJoin: [400, 'M_UNABLE_TO_GRANT_JOIN', 'This server has no user who could authorise the join'],
  unauthorized: [401, 'M_UNAUTHORIZED', 'The request was not authorised'],
  unknown: [500, 'M_UNKNOWN', 'An unknown error has occurred'],
  unknownDevice: [400, 'M_UNKNOWN_DEVICE', 'The device does not belong to the user'],
  unknownPos: [400, 'M_UNKNOWN_POS', 'The position is not known any more; start a new connection'],
  unrecognized: [404, 'M_UNRECOGNIZED', 'Unrecognized request'],
  unsupportedRoomVersion: [400, 'M_UNSUPPORTED_ROOM_VERSION', 'This server does not support the room version'],
  urlNotSet: [400, 'M_URL_NOT_SET', 'The application service has no URL'],
  userDeactivated: [403, 'M_USER_DEACTIVATED', 'The account is deactivated'],
  userInUse: [400, 'M_USER_IN_USE', 'The user name is taken'],
  userSuspended: [403, 'M_USER_SUSPENDED', 'The account is suspended'],
  weakPassword: [400, 'M_WEAK_PASSWORD', 'The password is too weak'],
} as const satisfies Record<string, readonly [status: number, errcode: string, message: string]>;

type PlainName = keyof typeof plain;
type PlainConstructor = (message?: string, extra?: JsonObject) => MatrixError;

const names = Object.keys(plain) as PlainName[];
const plainConstructors = Object.fromEntries(
  names.map((name): [PlainName, PlainConstructor] => {
    const [status, errcode, fallback] = plain[name];
    return [name, (message = fallback, extra) => new MatrixError(status, errcode, message, extra)];
  }),
) as Record<PlainName, PlainConstructor>;

/** One constructor for each error code, by its name in camel case. */
export const matrixError = {
  ...plainConstructors,

  /** 405: the path exists, the method does not (C-S API §Common error codes, M_UNRECOGNIZED). */
  methodNotAllowed: (message = 'Unrecognized method') => new MatrixError(405, 'M_UNRECOGNIZED', message),

  /** 429; the wait in milliseconds also belongs into a `Retry-After` header, in seconds rounded up. */
  limitExceeded: (retryAfterMs: number, message = 'Too many requests') =>
    new MatrixError(429, 'M_LIMIT_EXCEEDED', message, { retry_after_ms: Math.ceil(retryAfterMs) }),

  /** 401; a soft logout lets the client log in again with its device and keys. */
  unknownToken: ({ softLogout = false }: { softLogout?: boolean } = {}, message = 'The access token is not known') =>
    new MatrixError(401, 'M_UNKNOWN_TOKEN', message, { soft_logout: softLogout }),

  /** 401: the account is locked; always a soft logout (C-S API §Account locking). */
  userLocked: (message = 'The account is locked') =>
    new MatrixError(401, 'M_USER_LOCKED', message, { soft_logout: true }),

  /** 400; names the version that the room has. */
  incompatibleRoomVersion: (
    { room_version }: { room_version: string },
    message = 'The room version is not supported',
  ) => new MatrixError(400, 'M_INCOMPATIBLE_ROOM_VERSION', message, { room_version }),

  /** 403; names the current backup version. */
  wrongRoomKeysVersion: (
    { current_version }: { current_version: string },
    message = 'This is not the current key backup',
  ) => new MatrixError(403, 'M_WRONG_ROOM_KEYS_VERSION', message, { current_version }),

  /** 403; the server has reached a limit, and the contact says whom to ask. */
  resourceLimitExceeded: (
    { admin_contact }: { admin_contact: string },
    message = 'The server has reached a resource limit',
  ) => new MatrixError(403, 'M_RESOURCE_LIMIT_EXCEEDED', message, { admin_contact }),

  /** 403 unless the endpoint says otherwise; the URI tells the user more about the limit. */
  userLimitExceeded: (
    { info_uri, can_upgrade = false }: { info_uri: string; can_upgrade?: boolean },
    message = 'A limit of the account is reached',
    status = 403,
  ) => new MatrixError(status, 'M_USER_LIMIT_EXCEEDED', message, { info_uri, can_upgrade }),
} as const;

/** 503 to clients, 403 to servers (MSC3895): the room was joined without its members, and they are not known yet. */
export const unableDueToPartialState = (status: 403 | 503): MatrixError =>
  new MatrixError(
    status,
    'ORG.MATRIX.MSC3895_UNABLE_DUE_TO_PARTIAL_STATE',
    'The members of the room are still being fetched from other servers',
  );
