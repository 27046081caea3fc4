import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { schemaNamed } from '#api/meta/schema.ts';
import { strategicMergePatch } from '#api/meta/strategic-merge-patch.ts';
import { RestClient } from '../client.ts';
import { parseFlags, type Flag } from '../flags.ts';
import type { Io } from '../types.ts';
import { envChanges, envPatch, type EnvChanges } from './env.ts';
import { imagePatch, imagesOf } from './image.ts';
import { fits, podTemplateOf, type Workload } from './pod-template.ts';
import { resourceChanges, resourcesPatch } from './resources.ts';

const flags: readonly Flag[] = [{ name: 'env', type: 'string', description: '' }, { name: 'from', type: 'string', description: '' }, { name: 'limits', type: 'string', description: '' }, { name: 'requests', type: 'string', description: '' }];
const type = { group: 'apps', version: 'v1', plural: 'deployments', singular: 'deployment', kind: 'Deployment', namespaced: true, shortNames: [] };
const deployment = (): Workload => ({
  spec: {
    template: {
      spec: {
        initContainers: [{ name: 'prepare', image: 'p:1' }],
        containers: [{ name: 'web', image: 'w:1', env: [{ name: 'X', value: '1' }, { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }], resources: { limits: { cpu: '1' } } }, { name: 'log', image: 'l:1' }],
      },
    },
  },
});
const template = podTemplateOf(deployment(), { type, name: 'd' });
/** The containers once a server has taken the patch. */
function after(patch: object | undefined): unknown {
  return patch && (strategicMergePatch(schemaNamed('Deployment'), deployment(), patch) as Workload).spec?.template?.spec;
}

describe('set env', () => {
  const set = (changes: Partial<EnvChanges>, pattern = '*', overwrite = true): object | undefined => envPatch(template, 'deployments/d', pattern, overwrite, { set: [], removed: [], ...changes });

  it('sets, replaces and removes, and what is new comes last', () => {
    expect(after(set({ set: [{ name: 'A', value: '$(X)' }, { name: 'S', value: 'plain' }], removed: ['X'] }, 'w*'))).toMatchObject({
      containers: [{ name: 'web', image: 'w:1', env: [{ name: 'S', value: 'plain' }, { name: 'A', value: '$(X)' }] }, { name: 'log', image: 'l:1' }],
    });
    expect(after(set({ set: [{ name: 'A', value: '1' }] }))).toMatchObject({ initContainers: [{ env: [{ name: 'A' }] }], containers: [{ env: [{ name: 'X' }, { name: 'S' }, { name: 'A' }] }, { env: [{ name: 'A' }] }] });
  });

  it('leaves alone what is so already', () => {
    expect(set({ set: [{ name: 'X', value: '1' }, { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }], removed: ['NONE'] }, 'web')).toBeUndefined();
    expect(set({ set: [{ name: 'X', value: '2' }] }, 'other')).toBeUndefined();
    expect(() => set({ set: [{ name: 'X', value: '2' }] }, 'web', false)).toThrow("deployments/d 'X' already has a value (1), and --overwrite is false");
  });

  it('reads words, --env and lines', async () => {
    const client = new RestClient({ server: 'https://127.0.0.1:1', namespace: 'default', insecure: false, timeoutMs: 0 } as RestClient['connection']);
    const io: Io = { out: () => true, err: () => true, env: {}, stdin: Readable.from([Buffer.from('# no\nL=1=2\n\nnone\n')]), terminal: false, interrupted: new AbortController().signal };
    const read = (words: readonly string[], ...argv: string[]): Promise<EnvChanges> => envChanges(client, words, parseFlags('set', flags, argv), io);
    expect(await read(['A=b', 'C-'], '--env=D=e', '--env=-')).toEqual({ set: [{ name: 'A', value: 'b' }, { name: 'D', value: 'e' }, { name: 'L', value: '1=2' }], removed: ['C'] });
    await expect(read(['A=b', 'A-'])).rejects.toThrow('cannot both set and remove an environment variable: A');
    await expect(read([], '--from=pods/x')).rejects.toThrow('--from takes secret/NAME or configmap/NAME, not pods/x');
    client.close();
  });
});

describe('set resources, image', () => {
  const amounts = (...argv: string[]): ReturnType<typeof resourceChanges> => resourceChanges(parseFlags('set', flags, argv));

  it('puts amounts beside those that are there', () => {
    expect(after(resourcesPatch(template, 'web', amounts('--limits=memory=1Gi', '--requests=cpu=100m')))).toMatchObject({ containers: [{ resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m' } } }, { name: 'log' }] });
    expect(resourcesPatch(template, 'web', amounts('--limits=cpu=1'))).toBeUndefined();
    expect(() => resourcesPatch(template, 'x', amounts('--limits=cpu=1'))).toThrow('unable to find container named x; there are web, log');
  });

  it.each([[[], 'you must specify an update'], [['--limits=cpu'], 'unexpected resource spec: cpu'], [['--limits=cpu=x'], 'invalid amount of cpu in --limits']])('refuses %j', (argv, words) => { expect(() => amounts(...argv)).toThrow(words); });

  it('sets images of init containers, too', () => {
    expect(after(imagePatch(template, 'd', imagesOf(['*=n', 'log=l:1'])))).toMatchObject({ initContainers: [{ image: 'n' }], containers: [{ image: 'n' }, { image: 'l:1' }] });
    expect(imagePatch(template, 'd', imagesOf(['web=w:1']))).toBeUndefined();
    expect(() => imagePatch(template, 'deployment.apps/d', imagesOf(['x=y']))).toThrow('unable to find container named "x"; deployment.apps/d has prepare, web, log');
  });

  it('knows names by patterns, and what has no containers', () => {
    expect([fits('*', 'a'), fits('w*', 'web'), fits('w.b', 'web'), fits('*b', 'web'), fits('e', 'web')]).toEqual([true, true, false, true, false]);
    expect(() => podTemplateOf({}, { type, name: 'd' })).toThrow('deployment.apps/d has no containers');
  });
});
