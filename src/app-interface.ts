/** The server as a whole, as `startApp` of app.ts returns it and the commands use it. */
export interface App {
  /** Where it listens, as URLs. */
  readonly addresses: readonly string[];
  /** The token that people need to register; undefined unless `registration.mode` is `token`. */
  readonly registrationToken: string | undefined;
  /** Makes an account and resolves with its user id. @throws an Error whose message tells the operator why not */
  createUser(user: NewUser): Promise<string>;
  /** Makes what is derived from other tables anew where it differs, and prints a line for each difference. */
  repair(wrongConsumers: readonly string[], print: (difference: string) => void): Promise<void>;
  /** Lists partial-state rooms, tries again to complete them, or gives one up. @throws an Error whose message says why not */
  partialRooms(wish: PartialWish, print: (line: string) => void): Promise<void>;
  /** Stops in order: no new requests, open ones answered, queues drained, database checkpointed. */
  close(): Promise<void>;
}

export interface NewUser {
  readonly localpart: string;
  readonly password: string;
  readonly admin: boolean;
}

/** `roomId`: this room only; to give one up it takes one. */
export type PartialWish =
  | { readonly action: 'list' | 'retry'; readonly roomId?: string }
  | { readonly action: 'abort'; readonly roomId: string };
