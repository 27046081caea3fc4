import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { tar, type TarEntry } from '#install/images-tar.ts';
import { until } from './test-host.ts';

/** An image as a test wants it in a registry: one layer for each architecture. */
export interface TestImage {
  /** `team/app:1`. */
  readonly name: string;
  /** One: a plain manifest; several: an index of them. */
  readonly architectures: readonly string[];
  readonly files: readonly TarEntry[];
  readonly entrypoint?: readonly string[];
}

/** For tests: Debian's registry, on loopback of a test host; what is in it is written straight into its folder. */
export interface TestRegistry {
  /** `127.0.0.1:PORT`, without TLS or a password. */
  readonly plain: string;
  /** An address of the host's own, with TLS by `caPath`, and for `tester` with the password `secret` alone. */
  readonly secured: string;
  readonly caPath: string;
  /** The way to `plain`. */
  readonly line: BadLine;
  /** Resolves with the digest that the tag stands for. */
  put(image: TestImage): Promise<string>;
  close(): void;
}

export interface RegistryHost {
  /** Both sides see it by this path. */
  readonly stateDir: string;
  /** Runs a command in the host's network to its end. */
  readonly execute: (command: string, ...args: string[]) => Promise<unknown>;
  /** Starts a program there, which ends with the host. */
  readonly launch: (command: string, ...args: string[]) => Promise<unknown>;
}

const securedAddress = '192.0.2.10';
/** What is longer is a layer. */
const layerBytes = 64 << 10;
/** bcrypt of `secret`, as cheap as it gets. */
const htpasswd = 'tester:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n';
/** In the host's network: hands connections on to sockets that this process and the registries listen on. */
const forwarder = `const net = require('node:net');
for (const [host, port, path] of JSON.parse(process.argv[1])) net.createServer((from) => {
  const to = net.connect(path);
  from.on('error', () => to.destroy()).on('close', () => to.destroy()); to.on('error', () => from.destroy()).on('close', () => from.destroy());
  from.pipe(to).pipe(from);
}).listen(port, host, () => require('node:fs').writeFileSync(path + '.ready', ''));`;

export async function openTestRegistry({ stateDir, execute, launch }: RegistryHost): Promise<TestRegistry> {
  const base = join(stateDir, 'registry');
  const data = join(base, 'data');
  const socket = (name: string): string => join(base, `${name}.sock`);
  await mkdir(data, { recursive: true });
  await execute('ip', 'addr', 'add', `${securedAddress}/32`, 'dev', 'lo');
  await writeTls(base);
  await writeFile(join(base, 'htpasswd'), htpasswd);
  const http = (name: string): object => ({ net: 'unix', addr: socket(name), secret: 'x' });
  const storage = { filesystem: { rootdirectory: data }, cache: { blobdescriptor: 'inmemory' } };
  const log = { level: 'warn' };
  await writeFile(join(base, 'open.yml'), JSON.stringify({ version: '0.1', log, storage, http: http('open') }));
  await writeFile(join(base, 'secured.yml'), JSON.stringify({
    version: '0.1', log, storage, http: { ...http('secured'), tls: { certificate: join(base, 'tls.crt'), key: join(base, 'tls.key') } },
    auth: { htpasswd: { realm: 'test', path: join(base, 'htpasswd') } },
  }));
  for (const name of ['open', 'secured']) await launch('docker-registry', 'serve', join(base, `${name}.yml`));
  await launch(process.execPath, '-e', forwarder, JSON.stringify([['127.0.0.1', 5000, socket('line')], [securedAddress, 5443, socket('secured')]]));
  const line = new BadLine(socket('open'));
  await line.listen(socket('line'));
  for (const path of [socket('open'), socket('secured'), `${socket('line')}.ready`, `${socket('secured')}.ready`]) await until(AbortSignal.timeout(20_000), () => access(path));
  return { plain: '127.0.0.1:5000', secured: `${securedAddress}:5443`, caPath: join(base, 'ca.crt'), line, put: (image) => put(data, image), close: () => { line.close(); } };
}

/** What stands between a host and the registry; it can be told to break. Listens in this process. */
export class BadLine {
  /** Of each layer that was asked for: the `Range`, or nothing. What is small passes as it is. */
  readonly ranges: string[] = [];
  /** While it is set, answers with layers stop there and stay open. */
  stallAfter: number | undefined;
  readonly #target: string;
  readonly #server: Server;
  readonly #stalled = new Set<ServerResponse>();
  #isBroken = false;

  constructor(target: string) {
    this.#target = target;
    this.#server = createServer((incoming, answer) => {
      const { method, url, headers } = incoming;
      incoming.pipe(request({ socketPath: this.#target, method, path: url, headers }, (reply) => {
        const isLayer = method === 'GET' && url?.includes('/blobs/') === true && Number(reply.headers['content-length']) > layerBytes;
        if (isLayer) this.ranges.push(headers.range ?? '');
        if (isLayer && this.#isBroken) {
          answer.destroy();
          return;
        }
        answer.writeHead(reply.statusCode ?? 502, reply.headers);
        let left = (isLayer ? this.stallAfter : undefined) ?? Infinity;
        if (left < Infinity) this.#stalled.add(answer);
        reply.on('data', (chunk: Buffer) => {
          if (left > 0) answer.write(chunk.subarray(0, left));
          left -= chunk.length;
        }).on('end', () => { if (left > 0) answer.end(); });
      }).on('error', () => { answer.destroy(); }));
    });
  }

  /** Ends what stands still, and answers no more requests for layers. */
  break(): void {
    this.#isBroken = true;
    this.stallAfter = undefined;
    for (const answer of this.#stalled) answer.destroy();
    this.#stalled.clear();
  }

  mend(): void {
    this.#isBroken = false;
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve) => { this.#server.listen(path, resolve); });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function writeTls(base: string): Promise<void> {
  const caKey = makeKey();
  const caCertificate = makeCaCertificate(caKey, 'registry ca', Date.now(), 86_400_000);
  const ca = { certPem: caCertificate, certificate: new X509Certificate(caCertificate), key: createPrivateKey(caKey) };
  const key = makeKey();
  const certificate = issueCertificate(ca, { subject: { commonName: 'registry' }, publicKey: createPublicKey(key), usage: 'server', names: [securedAddress], nowMs: Date.now(), lifetimeMs: 86_400_000 });
  await writeFile(join(base, 'ca.crt'), caCertificate);
  await writeFile(join(base, 'tls.key'), key);
  await writeFile(join(base, 'tls.crt'), certificate);
}

/** Source: https://distribution.github.io/distribution/storage-drivers/filesystem/ and the paths that its storage package documents. */
async function put(data: string, { name, architectures, files, entrypoint = ['/bin/sh'] }: TestImage): Promise<string> {
  const [repository = '', tag = 'latest'] = name.split(':');
  const home = join(data, 'docker/registry/v2/repositories', repository);
  const link = async (folder: string, digest: string): Promise<void> => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'link'), digest);
  };
  const blob = async (bytes: Buffer, folder: string): Promise<string> => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    const path = join(data, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'data'), bytes);
    await link(join(home, folder, 'sha256', hex), `sha256:${hex}`);
    return `sha256:${hex}`;
  };
  const layer = tar(files);
  const diffId = `sha256:${createHash('sha256').update(layer).digest('hex')}`;
  const layerDigest = await blob(layer, '_layers');
  const manifests = await Promise.all(architectures.map(async (architecture) => {
    const config = json({ architecture, os: 'linux', config: { Entrypoint: entrypoint }, rootfs: { type: 'layers', diff_ids: [diffId] } });
    const manifest = json({
      schemaVersion: 2, mediaType: manifestType,
      config: { mediaType: 'application/vnd.docker.container.image.v1+json', digest: await blob(config, '_layers'), size: config.length },
      layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar', digest: layerDigest, size: layer.length }],
    });
    return { mediaType: manifestType, digest: await blob(manifest, '_manifests/revisions'), size: manifest.length, platform: { architecture, os: 'linux' } };
  }));
  const [first] = manifests;
  const top = manifests.length === 1 && first ? first.digest : await blob(json({ schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json', manifests }), '_manifests/revisions');
  await link(join(home, '_manifests/tags', tag, 'current'), top);
  await link(join(home, '_manifests/tags', tag, 'index/sha256', top.slice(7)), top);
  return top;
}

const manifestType = 'application/vnd.docker.distribution.manifest.v2+json';

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
