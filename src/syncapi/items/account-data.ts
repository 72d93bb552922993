/** `account_data`: the user's global account data. */
import type { Entry } from '../../bus/index.ts';
import type { Compose, Part, Pass } from '../pass.ts';
import { accountDataPart } from '../room/account-data.ts';
import type { Item } from './item.ts';

// eslint-disable-next-line require-yield
function* polylog(pass: Pass): Compose<void> {
  pass.accountData = true;
}

function linear(pass: Pass, entry: Entry): boolean {
  if (entry.topic !== 'user.account_data' || entry.user !== pass.user || entry.roomId !== null) return false;
  pass.accountData = true;
  return true;
}

// eslint-disable-next-line require-yield
function* compose(pass: Pass): Compose<Part | undefined> {
  if (!pass.accountData) return undefined;
  const part = accountDataPart(pass, null, pass.request.filter.accountData, pass.initial);
  if (!part.notable) return undefined;
  pass.request.shown.key(`user:${pass.user}`);
  return part;
}

export const accountDataItem: Item = { path: 'account_data', polylog, linear, compose };
