import type { KindDefinition } from './types.ts';

/** Every built-in kind by qualified name (`pods`, `deployments.apps`). */
export const kinds: Readonly<Record<string, KindDefinition>> = {};
