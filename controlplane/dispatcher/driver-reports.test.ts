import { expect, it } from 'vitest';
import type { CSINode } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import type { ApiClient } from '../apiserver/types.ts';
import { storeDriverReport } from './driver-reports.ts';

it('keeps the CSINode of a node: drivers come, go, and are never renamed in one step', async () => {
  let held: CSINode | undefined;
  const writes: string[] = [];
  const write = (object: CSINode): Promise<CSINode> => {
    writes.push(object.spec.drivers.map(({ name, nodeID }) => `${name}=${nodeID}`).join(' '));
    return Promise.resolve(held = object);
  };
  const api = { get: () => (held ? Promise.resolve(held) : Promise.reject(new StatusError('NotFound', 'no'))), create: (_: unknown, object: CSINode) => write(object), update: (_: unknown, object: CSINode) => write(object) } as unknown as ApiClient;
  const tell = (drivers: { name: string; nodeID: string }[], ...gone: string[]): Promise<void> => storeDriverReport(api, { metadata: { name: 'n', uid: 'u' } }, { drivers, gone });
  await tell([], 'x');
  expect(held).toBeUndefined();
  await tell([{ name: 'a', nodeID: '1' }]);
  expect(held).toMatchObject({ metadata: { name: 'n', ownerReferences: [{ kind: 'Node', name: 'n', uid: 'u' }] } });
  await tell([{ name: 'a', nodeID: '1' }]);
  await tell([{ name: 'b', nodeID: '2' }]);
  await tell([{ name: 'b', nodeID: '3' }]);
  await tell([{ name: 'b', nodeID: '3' }], 'a', 'b');
  expect(writes).toEqual(['a=1', 'a=1 b=2', 'a=1', 'a=1 b=3', 'b=3']);
});
