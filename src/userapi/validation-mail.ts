/** The mails by which addresses are proven, in plain words and with nothing to load from outside. */
import type { Mail } from '../util/mailer.ts';
import type { Purpose } from './email-validations.ts';

const words: Readonly<Record<Purpose, { readonly subject: string; readonly why: string }>> = {
  register: { subject: 'Confirm your e-mail address', why: 'to finish making your account' },
  add: { subject: 'Confirm your e-mail address', why: 'to add this e-mail address to your account' },
  password: { subject: 'Reset your password', why: 'to choose a new password for your account' },
};

/** The mail with the link that proves an address. */
export function validationMail(purpose: Purpose, to: string, serverName: string, link: string): Mail {
  const { subject, why } = words[purpose];
  const before = `Please open this link ${why} on ${serverName}:`;
  const after = 'If you did not ask for this, do nothing: nothing happens without you.';
  const href = link.replaceAll('&', '&amp;');
  return {
    to,
    subject: `${subject} (${serverName})`,
    text: `${before}\n\n${link}\n\n${after}\n`,
    html: `<p>${before}</p><p><a href="${href}">${href}</a></p><p>${after}</p>`,
  };
}
