import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '#common/atomic-file.ts';
import type { Log } from '#common/log.ts';
import { afterMeta, firstRowName } from '../store/row-format.ts';
import type { RowStore, RowWrite } from '../store/types.ts';

const batchRows = 100;
const batchBytes = 512 << 10;

/**
 * A cluster that was kept in `dir` moves to `rows`, in which nothing is but what an earlier attempt left; the folder is kept under
 * another name. Cut off, it is done again. Resolves with how many rows there were; undefined where there is nothing to move.
 */
export async function adoptLocalStore(rows: RowStore, dir: string, log: Log): Promise<number | undefined> {
  if (!existsSync(dir)) return undefined;
  const { openLevelRows } = await import('../store/backends/leveldb/backend.ts');
  const local = await openLevelRows({ dir, log, recover: false });
  let moved = 0;
  try {
    for await (const found of rows.scan(firstRowName, afterMeta)) await rows.write(found.map(([name]) => ({ name })), true);
    for await (const batch of batches(local)) {
      await rows.write(batch, true);
      moved += batch.length;
    }
  } finally {
    await local.close();
  }
  await rename(dir, `${dir}.moved-to-etcd`);
  await syncFolder(dirname(dir));
  return moved;
}

async function* batches(rows: RowStore): AsyncGenerator<RowWrite[]> {
  let batch: RowWrite[] = [];
  let size = 0;
  for await (const found of rows.scan(firstRowName, afterMeta)) {
    for (const [name, bytes] of found) {
      if (batch.length === batchRows || (batch.length > 0 && size + bytes.byteLength > batchBytes)) {
        yield batch;
        [batch, size] = [[], 0];
      }
      batch.push({ name, bytes });
      size += bytes.byteLength;
    }
  }
  if (batch.length > 0) yield batch;
}
