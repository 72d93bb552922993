/**
 * Registration files of application services (A-S API v1.19 §Registration): the standard YAML form, with the unstable
 * names that bridges still write. Every fault of every file is found at once.
 */
import { readFileSync } from 'node:fs';
import type { YAMLMap } from 'yaml';
import { formatUserId, type ServerName, type UserId } from '../matrix/ids.ts';
import { messageOf } from '../util/error-text.ts';
import { yaml } from '../util/lazy.ts';
import { err, ok, type Result } from '../util/result.ts';
import { compileNamespace } from './namespace-regex.ts';

export interface Namespace {
  /** Nobody else may make or delete what is in it. */
  readonly exclusive: boolean;
  readonly regex: RegExp;
}

export interface Registration {
  readonly id: string;
  /** Without a trailing slash; undefined: it wants no traffic. */
  readonly url: string | undefined;
  readonly asToken: string;
  readonly hsToken: string;
  /** The user of `sender_localpart`. */
  readonly sender: UserId;
  readonly users: readonly Namespace[];
  readonly aliases: readonly Namespace[];
  readonly rooms: readonly Namespace[];
  /** Whether requests for its other users are limited; those of the sender never are. */
  readonly rateLimited: boolean;
  readonly protocols: readonly string[];
  /** It is sent typing, receipts, presence and messages to its users' devices. */
  readonly receiveEphemeral: boolean;
  /** It reads the unstable names of ephemeral data (MSC2409). */
  readonly unstableEphemeral: boolean;
  /** It is sent device lists and key counts, and messages to its users' devices wait for nobody else (MSC3202). */
  readonly encryption: boolean;
}

const tokenForm = /^[\x21-\x7e]+$/;

/** All registrations of `files`, or one sentence for each fault. */
export function loadRegistrations(
  files: readonly string[],
  serverName: ServerName,
): Result<readonly Registration[], readonly string[]> {
  const faults: string[] = [];
  const loaded: { readonly file: string; readonly registration: Registration }[] = [];
  for (const file of files) {
    const read = readRegistration(file, serverName);
    if (!read.ok) faults.push(...read.error.map((fault) => `${file}: ${fault}`));
    else loaded.push({ file, registration: read.value });
  }
  // "Each as_token and id MUST be unique per application service. The homeserver MUST enforce this."
  const places = new Map<string, string>();
  for (const { file, registration } of loaded) {
    const unique = { id: registration.id, as_token: registration.asToken, sender_localpart: registration.sender };
    for (const [key, value] of Object.entries(unique)) {
      const first = places.get(`${key} ${value}`);
      if (first === undefined) places.set(`${key} ${value}`, file);
      else faults.push(`${file}: ${key}: the same as in ${first}`);
    }
  }
  return faults.length > 0 ? err(faults) : ok(loaded.map(({ registration }) => registration));
}

function readRegistration(file: string, serverName: ServerName): Result<Registration, readonly string[]> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return err([`cannot be read: ${messageOf(error)}`]);
  }
  return parseRegistration(text, serverName);
}

/** A registration from the text of its file, or one sentence for each fault. */
export function parseRegistration(text: string, serverName: ServerName): Result<Registration, readonly string[]> {
  const document = yaml().parseDocument(text);
  if (document.errors.length > 0) return err(document.errors.map(({ message }) => message.replace(/\n[^]*/, '')));
  const root = document.contents;
  if (!yaml().isMap(root)) return err(['expected keys with values']);
  const form = new Form(root);
  const localpart = form.text('sender_localpart') ?? '';
  const sender = localpart === '' ? undefined : formatUserId(localpart, serverName);
  if (sender === undefined) form.fault('sender_localpart', 'expected the part of a user id between @ and the colon');
  const unstableEphemeral = form.flag('de.sorunome.msc2409.push_ephemeral') ?? false;
  form.flag('io.element.msc4190');
  const registration = {
    id: form.required('id'),
    url: form.url(),
    asToken: form.token('as_token'),
    hsToken: form.token('hs_token'),
    ...form.namespaces(),
    rateLimited: form.flag('rate_limited') ?? true,
    protocols: form.texts('protocols'),
    receiveEphemeral: (form.flag('receive_ephemeral') ?? false) || unstableEphemeral,
    unstableEphemeral,
    encryption: form.flag('org.matrix.msc3202') ?? false,
  };
  return form.faults.length > 0 || sender === undefined ? err(form.faults) : ok({ ...registration, sender });
}

/** Reads one key after the other and collects what is wrong. */
class Form {
  readonly faults: string[] = [];
  readonly #root: YAMLMap;

  constructor(root: YAMLMap) {
    this.#root = root;
  }

  fault(key: string, message: string): void {
    this.faults.push(`${key}: ${message}`);
  }

  /** A text as it was written: a token of digits is not a number. */
  text(key: string, within: YAMLMap = this.#root): string | undefined {
    const node = within.get(key, true);
    if (!yaml().isScalar(node) || node.value === null) return undefined;
    return typeof node.value === 'string' ? node.value : node.source;
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined || value === '') this.fault(key, 'is required');
    return value ?? '';
  }

  token(key: string): string {
    const value = this.required(key);
    if (value !== '' && !tokenForm.test(value)) this.fault(key, 'may hold visible ASCII characters only');
    return value;
  }

  flag(key: string, within: YAMLMap = this.#root): boolean | undefined {
    const value = within.get(key);
    if (value === undefined || value === null || typeof value === 'boolean') return value ?? undefined;
    this.fault(key, 'expected true or false');
    return undefined;
  }

  texts(key: string): string[] {
    const node = this.#root.get(key, true);
    if (node === undefined || (yaml().isScalar(node) && node.value === null)) return [];
    const values = yaml().isSeq(node)
      ? node.items.map((item) => (yaml().isScalar(item) ? item.value : undefined))
      : [undefined];
    const texts = values.filter((value) => typeof value === 'string');
    if (texts.length !== values.length) this.fault(key, 'expected a list of texts');
    return texts;
  }

  /** "Optionally set to null if no traffic is required." */
  url(): string | undefined {
    const value = this.text('url');
    if (value === undefined || value === '') {
      if (!this.#root.has('url')) this.fault('url', 'is required; null for an application service without traffic');
      return undefined;
    }
    const valid = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && !/[?#]/.test(value);
    if (!valid) this.fault('url', 'expected an http or https address, or null');
    return value.replace(/\/+$/, '');
  }

  namespaces(): Pick<Registration, 'users' | 'aliases' | 'rooms'> {
    const node = this.#root.get('namespaces', true);
    if (yaml().isMap(node)) {
      const [users, aliases, rooms] = (['users', 'aliases', 'rooms'] as const).map((kind) => this.#list(node, kind));
      return { users: users ?? [], aliases: aliases ?? [], rooms: rooms ?? [] };
    }
    this.fault('namespaces', 'is required: keys users, aliases and rooms');
    return { users: [], aliases: [], rooms: [] };
  }

  #list(namespaces: YAMLMap, kind: string): Namespace[] {
    const node = namespaces.get(kind, true);
    if (node === undefined || (yaml().isScalar(node) && node.value === null)) return [];
    if (!yaml().isSeq(node)) {
      this.fault(`namespaces.${kind}`, 'expected a list');
      return [];
    }
    return node.items.flatMap((item, index) => {
      const path = `namespaces.${kind}.${index}`;
      const source = yaml().isMap(item) ? this.text('regex', item) : undefined;
      const compiled = source === undefined ? undefined : compileNamespace(source);
      if (compiled === undefined || !yaml().isMap(item)) {
        this.fault(path, 'expected a regular expression under regex, and exclusive');
        return [];
      }
      return [{ exclusive: item.get('exclusive') === true, regex: compiled }];
    });
  }
}
