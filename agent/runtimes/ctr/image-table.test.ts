import { expect, it } from 'vitest';
import { parseImages } from './image-table.ts';
import { PullTable } from './pull-table.ts';

const [a, b] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`);

it('reads what ctr lists', () => {
  expect(parseImages([
    'REF                          TYPE                                       DIGEST                                                                  SIZE      PLATFORMS   LABELS',
    `localhost/hello:1            application/vnd.oci.image.manifest.v1+json ${a}  1.5 MiB   linux/amd64 -`,
    `localhost/hello:latest       application/vnd.oci.image.manifest.v1+json ${a}  1.5 MiB   linux/amd64 -`,
    `${b}  application/vnd.oci.image.index.v1+json ${b}  700.0 B   linux/amd64,linux/arm64/v8 io.cri-containerd.image=managed`,
    'nonsense', '',
  ].join('\n'))).toEqual([{ id: a, names: ['localhost/hello:1', 'localhost/hello:latest'], sizeBytes: 1_572_864 }, { id: b, names: [], sizeBytes: 700 }]);
});

it('reads what ctr draws of a pull', () => {
  const table = new PullTable();
  const [one = '', two = ''] = ['1', '2'].map((digit) => `sha256:${digit.repeat(64)}`);
  const read = (...lines: string[]): unknown[] => lines.map((line) => table.read(line));
  expect(read('', 'elapsed: 0.1 s', `layer-${one}:   waiting   |--------------------------------------|`)).toEqual([undefined, undefined, undefined]);
  expect(read(`\u001b[1Alayer-${one}:    downloading    |++++++----|  1.5 MiB/3.0 MiB`, `layer-${two}: downloading |----------|    0.0 B/512.0 KiB`, `layer-${two}: downloading |----------|    0.0 B/512.0 KiB`))
    .toEqual([{ ref: `layer-${one}`, digest: one, isThere: false }, { ref: `layer-${two}`, digest: two, isThere: false }, undefined]);
  expect(table.sum()).toEqual({ doneBytes: 1_572_864, totalBytes: 3_145_728 + 524_288 });
  expect(read(`layer-${two}: done |++++++++++|`, `layer-${two}: done |++++++++++|`, `config-${one}: exists |++++++++++|`))
    .toEqual([{ ref: `layer-${two}`, digest: two, isThere: true }, undefined, { ref: `config-${one}`, digest: one, isThere: true }]);
  expect(table.sum().doneBytes).toBe(1_572_864 + 524_288);
});
