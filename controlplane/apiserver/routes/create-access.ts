import { refusal } from '../auth/authorizers.ts';
import type { Attributes, Authorizer } from '../auth/types.ts';
import type { KindCall } from './types.ts';

/** A PUT or an apply that makes its object needs the right to create it as well. Throws Forbidden. */
export async function requireCreate(authorizer: Authorizer, { user, path }: KindCall): Promise<void> {
  const attributes: Attributes = { user, verb: 'create', resource: path };
  const { allowed, reason } = await authorizer.authorize(attributes);
  if (!allowed) throw refusal(attributes, reason);
}
