import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageArchive } from '#install/images.ts';
import { tar, type TarEntry } from '#install/images-tar.ts';
import { ArchiveReader, type ArchivedImage } from './image-archive.ts';

const archive = imageArchive({ name: 'docker.io/library/app:1', architecture: 'arm64', files: [{ path: 'x', type: 'file', mode: 0o644, data: Buffer.alloc(700_000, 'x') }], entrypoint: ['/x'] });

function read(bytes: Buffer, cuts: readonly number[] = []): ArchivedImage[] {
  const reader = new ArchiveReader();
  const points = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
  for (let i = 1; i < points.length; i++) reader.push(bytes.subarray(points[i - 1], points[i]));
  return reader.images();
}
const file = (path: string, value: unknown): TarEntry => ({ path, type: 'file', mode: 0o644, data: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)) });
const hex = (digit: string): string => digit.repeat(64);

describe('an archive that passes by', () => {
  it('tells its images the same however it is cut', () => {
    const whole = read(archive);
    expect(whole).toEqual([{ names: ['docker.io/library/app:1'], architecture: 'arm64', id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string }]);
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: archive.length - 1 }), { maxLength: 8 }), (cuts) => { expect(read(archive, cuts)).toEqual(whole); }), { numRuns: 50, seed: 7 });
  });

  it('tells the same when what says nothing is left out', () => {
    const reader = new ArchiveReader();
    let bytes = 0;
    for (let at = 0; at < archive.length; at += reader.skip()) {
      const chunk = archive.subarray(at, at + 1024);
      reader.push(chunk);
      bytes += chunk.length;
      at += chunk.length;
    }
    expect(reader.images()).toEqual(read(archive));
    expect(bytes).toBeLessThan(20_000);
  });

  it('may be an OCI layout with an index for several kinds of hosts', () => {
    const image = (digit: string, architecture: string): TarEntry[] => [file(`blobs/sha256/${hex(digit)}`, { config: { digest: `sha256:${hex(`c${digit}`).slice(0, 64)}` } }), file(`blobs/sha256/${hex(`c${digit}`).slice(0, 64)}`, { architecture })];
    const bytes = tar([
      file('index.json', { manifests: [{ digest: `sha256:${hex('f')}`, annotations: { 'io.containerd.image.name': 'app:2' } }] }),
      file(`blobs/sha256/${hex('f')}`, { manifests: [{ digest: `sha256:${hex('1')}` }, { digest: `sha256:${hex('2')}` }, { digest: `sha256:${hex('3')}` }, {}] }),
      ...image('1', 'amd64'), ...image('2', 'arm'), ...image('3', 'unknown'),
    ]);
    expect(read(bytes).map(({ names, architecture }) => [names, architecture])).toEqual([[['app:2'], 'amd64'], [['app:2'], 'arm']]);
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)], ['noise', Buffer.alloc(5000, 7)], ['zeros', Buffer.alloc(5000)], ['no image', tar([file('readme', 'x')])],
    ['broken JSON', tar([file('manifest.json', '{'), file('index.json', '[1')])], ['odd JSON', tar([file('manifest.json', [{ Config: 5 }, {}]), file('index.json', { manifests: 3 })])],
    ['an index of itself', tar([file('index.json', { manifests: [{ digest: `sha256:${hex('a')}` }] }), file(`blobs/sha256/${hex('a')}`, { manifests: [{ digest: `sha256:${hex('a')}` }] })])],
  ])('tells nothing when it is %s', (_, bytes) => { expect(read(bytes)).toEqual([]); });

  it('breaks nothing wherever it is damaged', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
      const damaged = Buffer.from(archive.subarray(0, 5000));
      damaged[at] = byte;
      read(damaged);
    }), { numRuns: 200, seed: 7 });
  });
});
