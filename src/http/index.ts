/** HTTP: rows, the kernel that serves them, listeners, WebSockets, metrics. */
export type {
  Authenticator,
  AuthRequest,
  Query,
  ServerAuthenticator,
  ServerClaim,
  ServerRequest,
} from './auth-kinds.ts';
export { deleteTransactions, pruneTransactions } from './idempotency.ts';
export { Metrics } from './metrics.ts';
export { RateLimiter } from './rate-limit.ts';
export {
  JsonText,
  Reply,
  route,
  type AuthKind,
  type Method,
  type PathParams,
  type RateClass,
  type RequestContext,
  type Requester,
  type Resource,
  type Route,
  type RouteSpec,
  type TransactionRecord,
} from './route.ts';
export { demandRoomId, demandUserId } from './ids.ts';
export { direction, flag, jsonObject, maybe, positiveNumber, wholeNumber } from './schemas.ts';
export type { HttpServer } from './server.ts';
export { socketRoute, type Socket, type SocketContext, type SocketRow } from './socket.ts';
export { FileBody, FramedFile } from './stream.ts';
export { startHttp, type StartHttpOptions } from './start.ts';
export { validate } from './validate.ts';
