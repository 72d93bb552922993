/** Admin: what operators do over HTTP. */
export { adminRegisterRoutes } from './register.ts';
