import type { User } from '../../types.ts';

const prefix = 'system:node:';

/** The node's name when the user is one: `system:node:NAME` of the group system:nodes. */
export function nodeNameOf({ name, groups }: User): string | undefined {
  return name.startsWith(prefix) && name.length > prefix.length && groups.includes('system:nodes') ? name.slice(prefix.length) : undefined;
}
