/**
 * Password hashes: argon2id in PHC form (`$argon2id$v=19$m=…,t=…,p=1$salt$hash`), made off the event loop and one at a
 * time, so that a burst of logins takes memory for one hash only. Checking an unknown account costs the same.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { KeyedQueue } from '../util/keyed-queue.ts';

export interface PasswordCost {
  /** Bytes of memory for one hash. */
  readonly memory: number;
  /** Passes over that memory. */
  readonly passes: number;
}

interface Parameters {
  readonly memoryKib: number;
  readonly passes: number;
  readonly parallelism: number;
}

const phc = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
const saltBytes = 16;
const hashBytes = 32;

const unpadded = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '');

function derive(password: string, salt: Uint8Array, length: number, cost: Parameters): Promise<Buffer> {
  const { memoryKib: memory, passes, parallelism } = cost;
  const parameters = { message: password, nonce: salt, parallelism, tagLength: length, memory, passes };
  return new Promise((resolve, reject) =>
    argon2('argon2id', parameters, (error, key) => (error === null ? resolve(key) : reject(error))),
  );
}

export class Passwords {
  readonly #cost: Parameters;
  readonly #queue = new KeyedQueue<'hash'>();
  #decoy: Promise<string> | undefined;

  constructor(cost: PasswordCost) {
    this.#cost = { memoryKib: Math.max(8, Math.floor(cost.memory / 1024)), passes: cost.passes, parallelism: 1 };
  }

  /** Hashes a new password. */
  hash(password: string): Promise<string> {
    return this.#queue.run('hash', async () => {
      const salt = randomBytes(saltBytes);
      const { memoryKib, passes, parallelism } = this.#cost;
      const key = await derive(password, salt, hashBytes, this.#cost);
      return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(key)}`;
    });
  }

  /** True when `password` is the hashed one. `stored` undefined (no such account, no password): false, at the same cost. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    const decoy = await (this.#decoy ??= this.hash(''));
    const [, memory, passes, parallelism, salt, hash] = phc.exec(stored ?? decoy) ?? [];
    if (salt === undefined || hash === undefined) throw new Error('a stored password hash is damaged');
    const expected = Buffer.from(hash, 'base64');
    const cost = { memoryKib: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
    const key = await this.#queue.run('hash', () =>
      derive(password, Buffer.from(salt, 'base64'), expected.length, cost),
    );
    return timingSafeEqual(key, expected) && stored !== undefined;
  }
}
