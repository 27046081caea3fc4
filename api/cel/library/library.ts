import { functionsOf, type Functions, type Overload } from '../functions.ts';
import { addresses } from './addresses.ts';
import { namedFormats, semvers } from './formats.ts';
import { lists } from './lists.ts';
import { optionals } from './optionals.ts';
import { quantities } from './quantities.ts';
import { standard } from './standard.ts';
import { strings } from './strings.ts';
import { time } from './time.ts';
import { urls } from './urls.ts';

/** Every function that Kubernetes 1.34 gives to expressions; `more` are those of one place only. */
export function libraryWith(more: readonly Overload[] = []): Functions {
  return functionsOf(standard, time, strings, lists, optionals, urls, quantities, addresses, namedFormats, semvers, more);
}
