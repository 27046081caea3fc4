import { expect, it } from 'vitest';
import { reconcileRuntimeClass } from './reconcile.ts';

it.each([
  ['a node has its handler', [['', 'runc'], ['nvidia', 'runc']], false, 1],
  ['no node has it', [['', 'runc'], undefined], false, 0],
  ['it is there', [['nvidia']], true, 0],
])('the class is made when %s', (_when, handlers, present, made) => {
  const nodes = handlers.map((names) => ({ status: { ...(names && { runtimeHandlers: names.map((name) => ({ name })) }) } }));
  const actions = reconcileRuntimeClass('nvidia', nodes, present ? { metadata: { name: 'nvidia' }, handler: 'else' } : undefined);
  expect(actions).toHaveLength(made);
  if (made > 0) expect(actions[0]).toMatchObject({ type: 'create', object: { metadata: { name: 'nvidia' }, handler: 'nvidia' } });
});
