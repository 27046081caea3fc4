import { expect, it } from 'vitest';
import { parseImages } from './image-table.ts';

const [a, b] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`);

it('reads what ctr lists', () => {
  expect(parseImages([
    'REF                          TYPE                                       DIGEST                                                                  SIZE      PLATFORMS   LABELS',
    `localhost/hello:1            application/vnd.oci.image.manifest.v1+json ${a}  1.5 MiB   linux/amd64 -`,
    `localhost/hello:latest       application/vnd.oci.image.manifest.v1+json ${a}  1.5 MiB   linux/amd64 -`,
    `${b}  application/vnd.oci.image.index.v1+json ${b}  700.0 B   linux/amd64,linux/arm64/v8 io.cri-containerd.image=managed`,
    'nonsense', '',
  ].join('\n'))).toEqual([{ names: ['localhost/hello:1', 'localhost/hello:latest'], sizeBytes: 1_572_864 }, { names: [], sizeBytes: 700 }]);
});
