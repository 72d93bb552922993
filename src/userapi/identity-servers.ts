/**
 * Identity servers that users name (Identity Service API v1.19): binding and unbinding, look-ups by hash, stored
 * invites, validity of keys. Only public addresses are reached, and only the servers that the operator permits.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Config } from '../config/index.ts';
import type { SigningKey } from '../fedclient/index.ts';
import { MatrixError, matrixError } from '../matrix/errors.ts';
import { parseServerName, parseUserId, type ServerName, type UserId } from '../matrix/ids.ts';
import { isJsonObject, memberOf, parseJson, type JsonObject } from '../matrix/json.ts';
import { signJson } from '../matrix/signing.ts';
import { AddressGuard } from '../util/address-guard.ts';
import { ask, AskFailed } from '../util/ask.ts';
import { encodeBase64Url } from '../util/bytes.ts';
import { guardedAgent } from '../util/guarded-agent.ts';
import type { LazyAgent } from '../util/lazy.ts';
import type { Threepid } from './threepids.ts';

/** The identity server refused or could not be reached; a client is told this as it is. */
export class IdentityFault extends MatrixError {}

/** What `store-invite` answers: the makings of an m.room.third_party_invite event. */
export interface StoredInvite {
  readonly token: string;
  readonly displayName: string;
  readonly publicKeys: readonly { readonly publicKey: string; readonly validityUrl: string }[];
}

interface Call {
  readonly server: string;
  readonly path: string;
  readonly accessToken?: string;
  readonly body?: JsonObject;
  readonly headers?: Readonly<Record<string, string>>;
}

const bound = v.object({ medium: v.string(), address: v.string() });
const hashDetails = v.object({ lookup_pepper: v.string(), algorithms: v.array(v.string()) });
const mappings = v.object({ mappings: v.record(v.string(), v.nullish(v.string())) });
const storedInvite = v.object({
  token: v.string(),
  display_name: v.string(),
  public_keys: v.array(v.object({ public_key: v.string(), key_validity_url: v.string() })),
});

const base = '/_matrix/identity/v2';
const connectMs = 5000;

export class IdentityServers implements AsyncDisposable {
  readonly #config: Config['identity'];
  readonly #serverName: ServerName;
  readonly #signingKey: SigningKey;
  readonly #agent: LazyAgent;

  constructor(config: Config['identity'], serverName: ServerName, signingKey: SigningKey) {
    this.#config = config;
    this.#serverName = serverName;
    this.#signingKey = signingKey;
    this.#agent = guardedAgent(new AddressGuard(config.allowNetworks), connectMs);
  }

  /** Publishes who owns what a validation session has proven. @throws MatrixError as the identity server says it */
  async bind(server: string, accessToken: string, body: JsonObject): Promise<Threepid> {
    return checked(bound, await this.#call({ server, path: '/3pid/bind', accessToken, body }));
  }

  /** Ends that, signed by this server in the user's place. @throws MatrixError as the identity server says it */
  async unbind(server: string, user: UserId, { medium, address }: Threepid): Promise<void> {
    const path = '/3pid/unbind';
    const body = { mxid: user, threepid: { medium, address } };
    const { keyId, key } = this.#signingKey;
    const request = { method: 'POST', uri: base + path, origin: this.#serverName, destination: server, content: body };
    const signed = signJson(request, this.#serverName, keyId, key);
    const signature = memberOf(memberOf(signed.signatures, this.#serverName), keyId);
    const authorization = `X-Matrix origin="${this.#serverName}",destination="${server}",key="${keyId}",sig="${String(signature)}"`;
    await this.#call({ server, path, body, headers: { Authorization: authorization } });
  }

  /** The user that an identifier is bound to; it is asked for by hash where the server can. @throws MatrixError */
  async lookUp(server: string, accessToken: string, { medium, address }: Threepid): Promise<UserId | undefined> {
    const details = checked(hashDetails, await this.#call({ server, path: '/hash_details', accessToken }));
    const { lookup_pepper: pepper, algorithms } = details;
    const isHashed = algorithms.includes('sha256');
    if (!isHashed && !algorithms.includes('none')) throw fault('The identity server knows no common way to look up');
    const plain = `${address} ${medium}`;
    const name = isHashed ? encodeBase64Url(createHash('sha256').update(`${plain} ${pepper}`).digest()) : plain;
    const body = { algorithm: isHashed ? 'sha256' : 'none', pepper, addresses: [name] };
    const found = checked(mappings, await this.#call({ server, path: '/lookup', accessToken, body })).mappings[name];
    return typeof found === 'string' ? parseUserId(found) : undefined;
  }

  /** Has the identity server keep an invite for whoever proves the address, and write to it. @throws MatrixError */
  async storeInvite(server: string, accessToken: string, body: JsonObject): Promise<StoredInvite> {
    const stored = checked(storedInvite, await this.#call({ server, path: '/store-invite', accessToken, body }));
    const publicKeys = stored.public_keys.map((key) => ({
      publicKey: key.public_key,
      validityUrl: key.key_validity_url,
    }));
    if (publicKeys.length === 0) throw fault('The identity server gave no keys');
    return { token: stored.token, displayName: stored.display_name, publicKeys };
  }

  /** Whether a key is still good, as the `key_validity_url` of an invite says. */
  async isKeyValid(validityUrl: string, publicKey: string): Promise<boolean> {
    if (!URL.canParse(validityUrl)) return false;
    const url = new URL(validityUrl);
    if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') return false;
    url.searchParams.set('public_key', publicKey);
    try {
      const { status, text } = await ask(url, { dispatcher: this.#agent.dispatcher, timeoutMs: this.#config.timeout });
      return status === 200 && memberOf(parseJson(text), 'valid') === true;
    } catch (error) {
      if (error instanceof AskFailed) return false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #call({ server, path, accessToken, body, headers }: Call): Promise<JsonObject> {
    if (parseServerName(server) === undefined) throw matrixError.invalidParam('id_server is not a server name');
    const { allowServers, timeout } = this.#config;
    if (allowServers.length > 0 && !allowServers.includes(server)) throw matrixError.serverNotTrusted();
    const answer = await ask(`https://${server}${base}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(accessToken === undefined ? {} : { Authorization: `Bearer ${accessToken}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      dispatcher: this.#agent.dispatcher,
      timeoutMs: timeout,
    }).catch((error: unknown) => {
      if (error instanceof AskFailed) throw fault('The identity server could not be reached');
      throw error;
    });
    const json = parseJson(answer.text);
    if (answer.status === 200) return isJsonObject(json) ? json : {};
    throw refusal(answer.status, isJsonObject(json) ? json : {});
  }
}

const fault = (message: string): IdentityFault => new IdentityFault(502, 'M_UNKNOWN', message);

/** "Homeservers should simply proxy any errors received by the identity server to the caller." */
function refusal(status: number, { errcode, error }: JsonObject): IdentityFault {
  const isPlain = status >= 400 && status < 500 && typeof errcode === 'string' && errcode !== 'M_UNKNOWN_TOKEN';
  if (!isPlain) return fault('The identity server refused');
  // A 401 is about the token for the identity server: to the client it would mean that it is logged out here.
  return new IdentityFault(status === 401 ? 403 : status, errcode, typeof error === 'string' ? error : errcode);
}

function checked<S extends v.GenericSchema>(schema: S, answer: JsonObject): v.InferOutput<S> {
  const result = v.safeParse(schema, answer);
  if (!result.success) throw fault('The identity server answered something else');
  return result.output;
}
