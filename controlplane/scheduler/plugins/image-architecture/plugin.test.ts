import { describe, expect, test } from 'vitest';
import type { ContainerStatus, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { ImagePlatforms } from '../../image-platforms.ts';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { imageArchitecture } from './plugin.ts';

const arch = (architecture: string) => ({ labels: { 'kubernetes.io/arch': architecture } });
const nodes = [node('big', arch('amd64')), node('pi', arch('arm64')), node('old', arch('arm')), node('plain')];
const reason = "node(s) had an architecture that the pod's images are not made for";
const telling = (value: string) => nodes.map((one, i) => (i === 0 ? { ...one, metadata: { ...one.metadata, annotations: { 'cleat.dev/image-platforms': value } } } : one));

describe('what a node tells', () => {
  test.each<[string, string, unknown]>([
    ['of this image', '{"app:1":["linux/amd64","linux/arm64/v8"]}', { old: reason }],
    ['of another image', '{"other:1":["linux/amd64"]}', {}],
    ['nothing of the image', '{"app:1":[]}', 'skip'],
    ['nonsense', '{"app:1":', 'skip'],
    ['not a map', '[1]', 'skip'],
  ])('%s', (_, value, expected) => { expect(filterWith(imageArchitecture(), pod(), cluster({ nodes: telling(value) }))).toEqual(expected); });

  test('what its agent has pulled, unless people say otherwise', () => {
    const annotated = (annotations: Record<string, string>) => cluster({ nodes: nodes.map((one, i) => (i === 0 ? { ...one, metadata: { ...one.metadata, annotations } } : one)) });
    const pulled = { 'cleat.dev/pulled-image-platforms': '{"app:1":["linux/amd64"]}' };
    expect(filterWith(imageArchitecture(), pod(), annotated(pulled))).toEqual({ pi: reason, old: reason });
    expect(filterWith(imageArchitecture(), pod(), annotated({ ...pulled, 'cleat.dev/image-platforms': '{"app:1":["linux/arm","linux/arm64","linux/amd64"]}' }))).toEqual({});
  });

  test('goes with the node', () => {
    const cache = cluster({ nodes: telling('{"app:1":["linux/amd64"]}') });
    expect(filterWith(imageArchitecture(), pod(), cache)).toEqual({ pi: reason, old: reason });
    cache.removeNode('big');
    expect(filterWith(imageArchitecture(), pod(), cache)).toBe('skip');
  });
});

describe('what became of pods', () => {
  const status = (state: ContainerStatus['state']): Pod => pod({ status: { containerStatuses: [{ name: 'c', image: 'app:1', imageID: '', ready: false, restartCount: 0, state }] } });
  const waiting = (message: string): Pod => status({ waiting: { reason: 'ErrImagePull', message } });
  const containerd = 'failed to pull and unpack image "app:1": no match for platform in manifest sha256:12: not found';

  test.each<[string, string, boolean]>([
    ['containerd', containerd, false],
    ['Docker', 'no matching manifest for linux/arm64/v8 in the manifest list entries', false],
    ['an agent', 'wrong architecture: image app:1 is made for amd64, this host is arm64', false],
    ['CRI-O', 'choosing image instance: no image found in manifest list for architecture arm64, variant "v8", OS linux', false],
    ['no such image', 'failed to resolve reference "app:1": not found', true],
  ])('%s', (_, message, allowed) => {
    const images = new ImagePlatforms(new ManualClock());
    images.learn(waiting(message), 'arm64');
    expect([images.isFor('app:1', 'arm64'), images.isFor('app:1', 'amd64'), images.isFor('app:2', 'arm64')]).toEqual([allowed, true, true]);
  });

  test('is forgotten after an hour, or when it runs', async () => {
    const clock = new ManualClock();
    const images = new ImagePlatforms(clock);
    images.learn(waiting(containerd), 'arm64');
    await clock.advance(3_599_999);
    expect(images.isFor('app:1', 'arm64')).toBe(false);
    await clock.advance(1);
    expect(images.isFor('app:1', 'arm64')).toBe(true);
    images.learn(waiting(containerd), 'arm64');
    images.learn(status({ running: {} }), 'arm64');
    expect([images.isFor('app:1', 'arm64'), images.isEmpty]).toEqual([true, true]);
  });

  test('remembers a bounded number', () => {
    const images = new ImagePlatforms(new ManualClock());
    const of = (i: number): Pod => { const one = waiting(containerd); return { ...one, spec: { containers: [{ name: 'c', image: `app:${String(i)}` }] } }; };
    for (let i = 0; i <= 1000; i++) images.learn(of(i), 'arm64');
    expect([images.isFor('app:0', 'arm64'), images.isFor('app:1', 'arm64')]).toEqual([true, false]);
  });
});
