import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { StatusError } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import { pauseProgram, type Architecture } from './images-pause.ts';
import { tar, type TarEntry } from './images-tar.ts';

/** The image of every pod's sandbox. */
export const pauseImage = 'cleat.dev/pause:1';
/** The example's image: a web server that says its host name and the client's address. */
export const helloImage = 'docker.io/library/cleat-hello:1';

export interface ImageSpec {
  readonly name: string;
  readonly architecture: Architecture;
  readonly files: readonly TarEntry[];
  /** Further layers, one above the other. */
  readonly above?: readonly (readonly TarEntry[])[];
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
  readonly ports?: readonly string[];
  /** Whom its programs run as; root when absent. */
  readonly user?: string;
}

/** The part of a runtime driver that image building needs. */
export interface ImageStore {
  imageId(image: string, signal: AbortSignal): Promise<string | undefined>;
  importImage(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<readonly string[]>;
}

/** This machine's architecture. */
export function hostArchitecture(): Architecture {
  if (process.arch === 'x64') return 'amd64';
  if (process.arch === 'arm64') return 'arm64';
  throw new StatusError('Invalid', `Cleat runs pods on x86-64 and arm64 only, and this machine is ${process.arch}`);
}

/** An archive that is an OCI layout and a `docker save` file at once: containerd and Docker both load it. The same spec gives the same bytes. */
export function imageArchive(spec: ImageSpec): Buffer {
  const layers = [spec.files, ...spec.above ?? []].map(tar);
  const config = json({
    architecture: spec.architecture,
    os: 'linux',
    config: {
      Env: spec.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Entrypoint: spec.entrypoint,
      ...(spec.user !== undefined && { User: spec.user }),
      ...(spec.ports && { ExposedPorts: Object.fromEntries(spec.ports.map((port) => [port, {}])) }),
    },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'cleat' })),
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
  });
  const index = json({
    schemaVersion: 2,
    manifests: [{
      ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
      platform: { architecture: spec.architecture, os: 'linux' },
      annotations: { 'io.containerd.image.name': spec.name, 'org.opencontainers.image.ref.name': spec.name.slice(spec.name.lastIndexOf(':') + 1) },
    }],
  });
  const docker = json([{ Config: blobPath(config), RepoTags: [spec.name], Layers: layers.map(blobPath) }]);
  const file = (path: string, data: Uint8Array): TarEntry => ({ path, type: 'file', mode: 0o644, data });
  return tar([
    file('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
    file('index.json', index),
    file('manifest.json', docker),
    ...[config, manifest, ...layers].map((blob) => file(blobPath(blob), blob)),
  ]);
}

export function pauseSpec(architecture: Architecture): ImageSpec {
  return {
    name: pauseImage,
    architecture,
    files: [{ path: 'pause', type: 'file', mode: 0o755, data: pauseProgram(architecture) }],
    entrypoint: ['/pause'],
  };
}

// httpd listens on IPv6 and shows IPv4 clients as [::ffff:A.B.C.D]. A visit is a line of the log; a probe is not worth one.
const helloPage = `#!/bin/sh
client=\${REMOTE_ADDR#[}
client=\${client%]}
client=\${client#::ffff:}
case $HTTP_USER_AGENT in
  kube-probe/*) ;;
  *) echo "Hello to $client" >&2 ;;
esac
printf 'Content-Type: text/plain\\r\\n\\r\\nHello from %s to %s\\n' "$(hostname)" "$client"
`;

/** `busybox` is one of the same architecture; `libraries` what it needs where it is not static, by path. */
export function helloSpec(architecture: Architecture, busybox: Uint8Array, libraries: ReadonlyMap<string, Uint8Array> = new Map()): ImageSpec {
  const applets = ['sh', 'httpd', 'hostname', 'cat', 'echo', 'env', 'id', 'ls', 'mkdir', 'nc', 'ps', 'sleep', 'test', 'touch', 'true', 'false', 'wget'];
  const dir = (path: string, mode = 0o755): TarEntry => ({ path, type: 'dir', mode });
  const folders = new Set([...libraries.keys()].flatMap((path) => path.split('/').slice(0, -1).map((_, i, parts) => parts.slice(0, i + 1).join('/'))));
  return {
    name: helloImage,
    architecture,
    files: [
      ...['bin', 'dev', 'etc', 'proc', 'sys', 'www', 'www/cgi-bin'].map((path) => dir(path)),
      dir('tmp', 0o1777),
      ...[...folders].map((path) => dir(path)),
      ...[...libraries].map(([path, data]): TarEntry => ({ path, type: 'file', mode: 0o755, data })),
      { path: 'bin/busybox', type: 'file', mode: 0o755, data: busybox },
      ...applets.map((name): TarEntry => ({ path: `bin/${name}`, type: 'symlink', target: 'busybox' })),
      { path: 'etc/passwd', type: 'file', mode: 0o644, data: Buffer.from('root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n') },
      { path: 'etc/group', type: 'file', mode: 0o644, data: Buffer.from('root:x:0:\nnogroup:x:65534:\n') },
      { path: 'www/cgi-bin/index.cgi', type: 'file', mode: 0o755, data: Buffer.from(helloPage) },
    ],
    // As process 1, httpd would not hear SIGTERM and keep every pod for its whole grace period; the shell ends, and all with it.
    entrypoint: ['sh', '-c', "trap 'exit 0' TERM INT; httpd -f -p 8080 -h /www & wait $!"],
    ports: ['8080/tcp'],
  };
}

/** Makes sure that sandboxes can start without a registry. `name` is what the runtime calls its sandbox image. */
export async function ensurePauseImage(store: ImageStore, signal: AbortSignal, name = pauseImage): Promise<void> {
  if (await store.imageId(name, signal) !== undefined) return;
  await importSpec(store, { ...pauseSpec(hostArchitecture()), name }, signal);
}

/** Makes sure that the examples' image is present; it is built from the host's busybox. */
export async function ensureHelloImage(store: ImageStore, signal: AbortSignal, busyboxPath = '/bin/busybox'): Promise<void> {
  if (await store.imageId(helloImage, signal) !== undefined) return;
  let busybox: Buffer;
  try {
    busybox = await readFile(busyboxPath);
  } catch (error) {
    throw new StatusError('NotFound', `the example's image is built from busybox, and ${busyboxPath} cannot be read; install it (Debian and Ubuntu: apt-get install busybox-static)`, { cause: error });
  }
  await importSpec(store, helloSpec(hostArchitecture(), busybox, await librariesOf(busyboxPath, signal)), signal);
}

/** What the loader would load for a program, the loader itself among it; nothing for a static one. */
async function librariesOf(program: string, signal: AbortSignal): Promise<ReadonlyMap<string, Buffer>> {
  const told = await exec('ldd', [program], { signal, timeoutMs: 10_000 }).catch(() => undefined);
  const paths = told?.exitCode === 0 ? [...told.stdout.matchAll(/(?:^|\s)\/(\S+) \(0x/gm)].map(([, path = '']) => path) : [];
  return new Map(await Promise.all([...new Set(paths)].map(async (path) => [path, await readFile(`/${path}`)] as const)));
}

async function importSpec(store: ImageStore, spec: ImageSpec, signal: AbortSignal): Promise<void> {
  await store.importImage(Readable.from([imageArchive(spec)]), signal);
}

function descriptor(mediaType: string, blob: Buffer): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: `sha256:${sha256(blob)}`, size: blob.length };
}

function blobPath(blob: Buffer): string {
  return `blobs/sha256/${sha256(blob)}`;
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
