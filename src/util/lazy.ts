/**
 * Libraries that many servers never need and none needs to start: each is loaded when it is first asked for, so that an
 * idle server does without its memory and starts sooner (DESIGN §10).
 */
import { createRequire } from 'node:module';
import type * as HtmlParser from 'htmlparser2';
import type * as Nodemailer from 'nodemailer';
import type * as Undici from 'undici';
import type * as Yaml from 'yaml';

const require = createRequire(import.meta.url);

/** Makes a value when it is first asked for, and gives the same one ever after. */
const onFirstUse = <T>(make: () => T): (() => T) => {
  let made: T | undefined;
  return () => (made ??= make());
};

export const undici = onFirstUse(() => require('undici') as typeof Undici);
export const nodemailer = onFirstUse(() => require('nodemailer') as typeof Nodemailer);
export const htmlParser = onFirstUse(() => require('htmlparser2') as typeof HtmlParser);
export const yaml = onFirstUse(() => require('yaml') as typeof Yaml);

/** Outgoing connections that are made ready when the first request needs them. */
export class LazyAgent {
  readonly #make: () => Undici.Agent;
  #made: Undici.Agent | undefined;

  constructor(make: () => Undici.Agent) {
    this.#make = make;
  }

  get dispatcher(): Undici.Agent {
    return (this.#made ??= this.#make());
  }

  /** Ends all of them at once. */
  async destroy(): Promise<void> {
    await this.#made?.destroy();
  }
}
