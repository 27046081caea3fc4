import { expect, it } from 'vitest';
import type { Secret } from '#api/gen/types.ts';
import { secrets } from '#api/kinds/resources.ts';
import { runControllers } from '#test/support/run-controllers.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

it('removes tokens when their time is over, and nothing else', async () => {
  const lab = runControllers(['token-cleaner']);
  // Past this program's release, before which no clock is believed.
  lab.clock.jump(20 * 365 * 86_400_000);
  const nowMs = lab.clock.now();
  const secret = (name: string, expiration: string | undefined, rest: Partial<Secret> = {}): Promise<Secret> => lab.api.create(secrets, {
    metadata: { name: `bootstrap-token-${name}`, namespace: 'kube-system' }, type: 'bootstrap.kubernetes.io/token', data: { 'token-id': base64(name), ...(expiration !== undefined && { expiration: base64(expiration) }) }, ...rest,
  });
  const at = (ms: number): string => new Date(nowMs + ms).toISOString();
  await secret('past', at(-1));
  await secret('soon', at(60_000));
  await secret('broken', 'tomorrow');
  await secret('always', undefined);
  await secret('other', at(-1), { type: 'Opaque' });
  await secret('elsewhere', at(-1), { metadata: { name: 'bootstrap-token-elsewhere', namespace: 'default' } });
  await lab.start();
  const left = (): string[] => lab.api.all(secrets).map(({ metadata }) => metadata!.name!.slice('bootstrap-token-'.length));
  expect(left()).toEqual(['soon', 'always', 'other', 'elsewhere']);
  await lab.clock.advance(59_999);
  expect(left()).toContain('soon');
  await lab.clock.advance(1);
  expect(left()).toEqual(['always', 'other', 'elsewhere']);
  await lab.stop();
});
