/** `account_data`: the user's global account data. */
import type { Entry } from '../../bus/index.ts';
import type { Part, Pass } from '../pass.ts';
import { accountDataPart } from '../room/account-data.ts';
import { atOnce, type Item, type Steps } from './item.ts';

function polylog(pass: Pass): Steps<void> {
  pass.accountData = true;
  return atOnce(undefined);
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'user.account_data' || entry.user !== pass.user || entry.roomId !== null) return false;
  pass.accountData = true;
  return true;
}

function read(pass: Pass): Part | undefined {
  if (!pass.accountData) return undefined;
  const part = accountDataPart(pass, null, pass.request.filter.accountData, pass.initial);
  if (!part.notable) return undefined;
  pass.request.shown.key(`user:${pass.user}`);
  return part;
}

export const accountDataItem: Item = { path: 'account_data', polylog, linear, compose: (pass) => atOnce(read(pass)) };
