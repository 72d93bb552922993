/**
 * Sending e-mail through the operator's mail server (SMTP). A mail counts as sent when that server has taken it; a
 * refusal says whether trying again can help.
 */
import type { Transporter } from 'nodemailer';
import { messageOf } from './error-text.ts';
import { nodemailer } from './lazy.ts';

export interface MailOptions {
  readonly host: string;
  readonly port: number;
  /** starttls: begin plain and refuse to go on without TLS; always: TLS from the first byte; never: plain. */
  readonly tls: 'starttls' | 'always' | 'never';
  /** Without a name the server is not logged in to. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** `Name <address>` or an address. */
  readonly from: string;
}

export interface Mail {
  /** One address. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** More headers, such as `List-Unsubscribe`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** `<left@right>`; with the same one, a mail that was sent twice is shown once by many readers. */
  readonly messageId?: string;
}

/** The mail was not taken. */
export class MailRefused extends Error {
  override readonly name = 'MailRefused';
  /** The server said that it never will be (a 5xx reply to this mail). */
  readonly permanent: boolean;

  constructor(message: string, permanent: boolean, cause: unknown) {
    super(message, { cause });
    this.permanent = permanent;
  }
}

export interface Mailer extends Disposable {
  /** Resolves when the mail server has taken the mail. @throws MailRefused */
  send(mail: Mail): Promise<void>;
}

const connectMs = 10_000;
const silenceMs = 30_000;
const idleMs = 5000;

/** A mailer over a few connections that are kept while there is something to send. */
export function createMailer(options: MailOptions): Mailer {
  const { host, port, user, password, from } = options;
  const open = (): Transporter =>
    nodemailer().createTransport({
      pool: true,
      maxConnections: 2,
      maxRequeues: 0,
      idleTimeout: idleMs,
      ...{ host, port },
      secure: options.tls === 'always',
      requireTLS: options.tls === 'starttls',
      ignoreTLS: options.tls === 'never',
      ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
      connectionTimeout: connectMs,
      dnsTimeout: connectMs,
      greetingTimeout: connectMs,
      socketTimeout: silenceMs,
      // Texts and headers come from here only: a mail never reads a file or fetches an address.
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  let transport: Transporter | undefined;
  return {
    send: async ({ to, subject, text, html, headers, messageId }) => {
      try {
        transport ??= open();
        await transport.sendMail({
          ...{ from, subject, text, html },
          to: { name: '', address: to },
          headers: { 'Auto-Submitted': 'auto-generated', ...headers },
          ...(messageId === undefined ? {} : { messageId }),
        });
      } catch (error) {
        throw refusal(error);
      }
    },
    [Symbol.dispose]: () => transport?.close(),
  };
}

function refusal(error: unknown): MailRefused {
  const { responseCode, code } = error as { responseCode?: unknown; code?: unknown };
  // A refused login or greeting says nothing about this mail.
  const aboutMail = code === 'EENVELOPE' || code === 'EMESSAGE';
  const permanent = aboutMail && (typeof responseCode !== 'number' || responseCode >= 500);
  return new MailRefused(messageOf(error), permanent, error);
}
