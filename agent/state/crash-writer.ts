/**
 * The victim of checkpoint.contract.test.ts: writes changes as fast as it can and says on standard output which are
 * acknowledged. Revision `r` sets object `m<r % 7>` to `r`.
 */
import { writeSync } from 'node:fs';
import { configMaps } from '#api/kinds/resources.ts';
import { silentLog } from '#common/log.ts';
import { CheckpointStore } from './checkpoint.ts';

const [folder = ''] = process.argv.slice(2);
const checkpoint = await CheckpointStore.open({ log: silentLog }, { folder, compactAfterBytes: 1500 });
if (!checkpoint.known) await checkpoint.complete([], 0);
for (;;) {
  const next = checkpoint.revision + 1;
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name: `m${String(next % 7)}` }, data: { value: String(next) } };
  await checkpoint.incremental([{ type: 'set', resource: configMaps, object }], checkpoint.revision, next);
  writeSync(1, `${String(next)}\n`);
}
