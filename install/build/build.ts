import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import { messageOf } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import { version } from '#common/version.ts';
import { makeDeb } from './deb.ts';
import { bundle, nameOfAssets, readAssets } from './bundle.ts';

/**
 * `npm run build -- [--arch x64|arm64] [--out DIR] [--version X.Y.Z] [--compression 1-9]`: Cleat as one executable for Linux, compressed, with checksums and
 * a list of what is inside. The one of another architecture can be made anywhere; it only lacks code compiled beforehand.
 */
const root = join(import.meta.dirname, '../..');
/** What Node looks for to know that an application was put into it (Node's documentation, "Single executable applications"). */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const nativeModules: Readonly<Record<string, string>> = { x64: 'linux-x64/classic-level.node', arm64: 'linux-arm64/classic-level.armv8.node' };

/** What is installed with it. */
const beside = ['install/install.sh', 'systemd/cleat-controlplane.service', 'systemd/cleat-agent.service', 'examples/hello.yaml'];

/** `version`: another than the sources say, which tests of upgrades make. */
interface Options { readonly arch: string; readonly out: string; readonly version: string; readonly level: number }

function parse(args: readonly string[]): Options {
  const options = { arch: process.arch as string, out: join(root, 'dist'), version, level: constants.Z_BEST_COMPRESSION };
  for (let i = 0; i < args.length; i += 2) {
    const [flag = '', value] = [args[i], args[i + 1]];
    if (value !== undefined && flag === '--arch' && Object.hasOwn(nativeModules, value)) options.arch = value;
    else if (value !== undefined && flag === '--out') options.out = value;
    else if (value !== undefined && flag === '--version') options.version = value;
    else if (value !== undefined && flag === '--compression' && /^[1-9]$/.test(value)) options.level = Number(value);
    else throw new Error(`unknown: ${flag} ${value ?? ''}\nusage: npm run build -- [--arch ${Object.keys(nativeModules).join('|')}] [--out DIR] [--version X.Y.Z] [--compression 1-9]`);
  }
  return options;
}

async function build({ arch, out, version: made, level }: Options): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'cleat-build-'));
  try {
    const node = await nodeFor(arch, work);
    const assets = readAssets(root, join(root, 'node_modules/classic-level/prebuilds', nativeModules[arch] ?? ''));
    const { main, chunks } = await bundle(root, nameOfAssets(assets), made);
    await writeFile(join(work, 'main.cjs'), main);
    await writeFile(join(work, 'chunks'), JSON.stringify(Object.fromEntries(chunks)));
    // The same from the same sources: paths are kept inside, so they are relative, and so is the order of hashes in the compiled code.
    const reproducibly = (...args: string[]): Promise<unknown> => execOk(process.execPath, ['--random-seed=1', ...args], { cwd: work, timeoutMs: 120_000 });
    await reproducibly(join(root, 'install/build/pack.ts'), 'chunks', arch === process.arch ? 'compile' : 'plain');
    const carried = new Map(['index', 'code', 'compiled'].map((part) => [`chunks/${part}`, `chunks.${part}`]));
    for (const [name, bytes] of assets) {
      const file = name.replaceAll('/', '!');
      carried.set(`file/${name}`, file);
      await writeFile(join(work, file), bytes);
    }
    await writeFile(join(work, 'sea.json'), JSON.stringify({ main: 'main.cjs', output: 'blob', disableExperimentalSEAWarning: true, useSnapshot: false, useCodeCache: false, assets: Object.fromEntries(carried) }));
    await reproducibly('--experimental-sea-config', 'sea.json');
    await mkdir(out, { recursive: true });
    const executable = join(out, `cleat-linux-${arch}`);
    await copyFile(node, executable);
    await chmod(executable, 0o755);
    await execOk(process.execPath, [join(root, 'node_modules/postject/dist/cli.js'), executable, 'NODE_SEA_BLOB', join(work, 'blob'), '--sentinel-fuse', fuse], { timeoutMs: 120_000 });
    await pipeline(createReadStream(executable), createGzip({ level }), createWriteStream(`${executable}.gz`));
    await writeFile(join(out, 'cleat.cdx.json'), await contents());
    await writeFile(join(out, 'VERSION'), `${made}\n`);
    for (const path of beside) await copyFile(join(root, path), join(out, basename(path)));
    // What is packed in haste is not for shipping.
    const deb = level === constants.Z_BEST_COMPRESSION ? await makeDeb({ root, out, arch, version: made }) : undefined;
    if (deb && 'missing' in deb) console.error(`cleat: ${deb.missing}`);
    await writeFile(join(out, 'SHA256SUMS'), await checksums(out));
    console.log(`${executable} ${String(Math.round((await readFile(executable)).length / 1e6))} MB, ${executable}.gz ${String(Math.round((await readFile(`${executable}.gz`)).length / 1e6))} MB`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Node without its symbols, the version that the project runs on; another architecture's comes from the same place as ours. */
async function nodeFor(arch: string, work: string): Promise<string> {
  let source = process.execPath;
  if (arch !== process.arch) {
    await execOk('npm', ['install', '--prefix', work, '--no-save', '--force', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-timeout=30000', '--fetch-retries=4', `node-linux-${arch}@${process.versions.node}`], { timeoutMs: 300_000 });
    source = join(work, `node_modules/node-linux-${arch}/bin/node`);
  }
  const stripped = join(work, 'node');
  const strip = arch === process.arch ? 'strip' : `${arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu-strip`;
  const result = await exec(strip, ['-o', stripped, source]).catch((error: unknown) => ({ exitCode: 1, stderr: messageOf(error) }));
  if (result.exitCode === 0) return stripped;
  console.error(`${strip} cannot be used, so the executable is 18 MB larger (Debian: apt-get install ${arch === process.arch ? 'binutils' : `binutils-${arch === 'arm64' ? 'aarch64' : 'x86-64'}-linux-gnu`}): ${result.stderr.trim()}`);
  return source;
}

/** Every package inside, as CycloneDX; the same for the same lock file. */
async function contents(): Promise<string> {
  interface Locked { readonly version?: string; readonly integrity?: string; readonly license?: string; readonly dev?: boolean; readonly optional?: boolean }
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, Locked>> };
  const components = Object.entries(packages).filter(([path, { dev, optional }]) => path !== '' && dev !== true && optional !== true).map(([path, locked]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const purl = `pkg:npm/${name.replace('@', '%40')}@${locked.version ?? ''}`;
    const [algorithm = '', digest = ''] = (locked.integrity ?? '').split('-');
    return {
      type: 'library', 'bom-ref': purl, name, version: locked.version, purl, ...(locked.license !== undefined && { licenses: [{ license: { name: locked.license } }] }),
      ...(algorithm === 'sha512' && { hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] }),
    };
  });
  const node = { type: 'platform', 'bom-ref': `node@${process.versions.node}`, name: 'node', version: process.versions.node };
  return `${JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.6', version: 1, metadata: { component: { type: 'application', name: 'cleat', version } }, components: [node, ...components] }, null, 2)}\n`;
}

async function checksums(out: string): Promise<string> {
  const executables = Object.keys(nativeModules).flatMap((arch) => [`cleat-linux-${arch}`, `cleat-linux-${arch}.gz`]);
  const lines: string[] = [];
  const packages = (await readdir(out)).filter((name) => name.endsWith('.deb')).sort();
  for (const name of [...executables, ...packages, 'VERSION', ...beside.map((path) => basename(path))]) {
    const bytes = await readFile(join(out, name)).catch(() => undefined);
    if (bytes) lines.push(`${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`);
  }
  return lines.join('');
}

try {
  await build(parse(process.argv.slice(2)));
} catch (error) {
  console.error(`cleat: the executable could not be made: ${messageOf(error)}`);
  process.exitCode = 1;
}
