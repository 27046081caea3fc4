import { expect, test } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { podInfo } from '../../pod-info.ts';
import { fakeApi, FakeInformer, pod } from '../../testing.ts';
import { defaultBinder } from './plugin.ts';

test('binds this very pod', async () => {
  const pods = new FakeInformer<Pod>();
  pods.set(pod({ name: 'web' }));
  const binder = defaultBinder({ api: fakeApi(pods) });
  await expect(binder.bind?.(podInfo(pod({ name: 'web', uid: 'another' })), 'a', AbortSignal.timeout(1000))).rejects.toThrow('not found');
  expect(await binder.bind?.(podInfo(pod({ name: 'web' })), 'a', AbortSignal.timeout(1000))).toBe(true);
  expect(pods.get('default', 'web')?.spec?.nodeName).toBe('a');
});
