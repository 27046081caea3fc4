import { expect, it } from 'vitest';
import { loadPluginContract } from './contract.ts';
import { Plugin } from './plugin.ts';

it('does not begin to watch when that is over already', async () => {
  const plugin = new Plugin(loadPluginContract(), '/none.sock');
  const watching = plugin.watch(AbortSignal.abort(new Error('over')))[Symbol.asyncIterator]();
  await expect(watching.next()).rejects.toThrow('over');
  plugin.close();
});
