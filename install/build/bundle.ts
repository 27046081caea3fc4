import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { rolldown, type Plugin } from 'rolldown';

/** Files that programs read at run time, by where they are in a checkout. They are carried beside the code. */
export const assetPaths = [
  'api/gen/schemas.json', 'controlplane/apiserver/protobuf/fields.json',
  'proto/edge/v1/edge.proto', 'proto/third_party/cri/api.proto', 'proto/third_party/containerd/events.proto', 'proto/third_party/containerd/content.proto', 'proto/third_party/containerd/leases.proto',
  'proto/third_party/deviceplugin/api.proto', 'proto/third_party/podresources/api.proto', 'proto/third_party/pluginregistration/api.proto', 'proto/third_party/csi/csi.proto', 'proto/third_party/etcd/rpc.proto',
] as const;
export const nativeModule = 'classic-level.node';

/** Cleat as CommonJS, which is what a single executable can run: `main` is what begins (entry.ts), `chunks` what it then loads, by name (chunks.ts). */
export interface Bundle {
  readonly main: string;
  readonly chunks: ReadonlyMap<string, string>;
}

/** `assetsName` names the files it is made with, `version` is what it calls itself. */
export async function bundle(root: string, assetsName: string, version: string): Promise<Bundle> {
  const cut = (input: Readonly<Record<string, string>>): Promise<Map<string, string>> => chunksOf(root, input, [ownModules(root, assetsName, version), nativeLoader]);
  const main = (await cut({ main: 'install/build/entry.ts' })).get('main.js');
  if (main === undefined) throw new Error('the bundler gave no chunk for install/build/entry.ts');
  return { main, chunks: await cut({ cli: 'cli/main.ts', dial: 'agent/runtimes/sandbox/dial.ts' }) };
}

async function chunksOf(root: string, input: Readonly<Record<string, string>>, plugins: readonly Plugin[]): Promise<Map<string, string>> {
  const absolute = Object.fromEntries(Object.entries(input).map(([name, path]) => [name, join(root, path)]));
  const build = await rolldown({ input: absolute, cwd: root, platform: 'node', logLevel: 'warn', plugins: [...plugins] });
  try {
    const { output } = await build.generate({ format: 'cjs', dynamicImportInCjs: false, minify: { mangle: false, compress: false, codegen: { removeWhitespace: true } }, comments: false });
    // One letter beyond Latin-1 would double the memory that the whole chunk takes.
    const ascii = (code: string): string => code.replaceAll(/[^\x20-\x7e\n\t]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
    const chunks = new Map(output.flatMap((part) => (part.type === 'chunk' ? [[part.fileName, part] as const] : [])));
    // What is loaded together lies together: reading a chunk brings its neighbours' pages into the process.
    const placed = new Map<string, string>();
    const place = (name: string): void => {
      const chunk = chunks.get(name);
      if (!chunk || placed.has(name)) return;
      placed.set(name, ascii(chunk.code));
      chunk.imports.forEach(place);
    };
    const rest = [...chunks.values()];
    for (const { fileName, dynamicImports } of [...rest.filter(({ isEntry }) => isEntry), ...rest]) [fileName, ...dynamicImports].forEach(place);
    return placed;
  } finally {
    await build.close();
  }
}

/** What a module's URL stands for is where its files were unpacked to; a `require` of its own is the bundler's. */
function ownModules(root: string, assetsName: string, version: string): Plugin {
  return {
    name: 'own-modules',
    transform: (code, id) => {
      if (id.includes('/node_modules/') || !id.startsWith(root)) return undefined;
      const path = JSON.stringify(relative(root, id));
      const stamped = path === '"common/version.ts"' ? code.replace(/(export const version = )'[^']*'/, `$1${JSON.stringify(version)}`) : code;
      return {
        code: stamped.replaceAll('process.env.CLEAT_ASSETS_NAME', JSON.stringify(assetsName))
          .replace(/^const require = createRequire\(import\.meta\.url\);$/m, '').replaceAll('import.meta.url', `globalThis.cleatModuleUrl(${path})`),
      };
    },
  };
}

/** LevelDB's native module comes from an unpacked file instead of `node_modules`. */
const nativeLoader: Plugin = {
  name: 'native-loader',
  resolveId: (id) => (id === 'node-gyp-build' ? '\0native-loader' : undefined),
  load: (id) => (id === '\0native-loader' ? `
    const { constants } = require('node:os');
    const { fileURLToPath } = require('node:url');
    module.exports = () => {
      const module = { exports: {} };
      process.dlopen(module, fileURLToPath(globalThis.cleatModuleUrl('${nativeModule}')), constants.dlopen.RTLD_NOW);
      return module.exports;
    };` : undefined),
};

/** Same files, same name. */
export function nameOfAssets(assets: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256');
  for (const [name, bytes] of assets) hash.update(`${name} ${String(bytes.length)}\n`).update(bytes);
  return hash.digest('hex').slice(0, 16);
}

/** Everything that is carried beside the code; `nativePath` is LevelDB's module for the architecture. */
export function readAssets(root: string, nativePath: string): Map<string, Buffer> {
  return new Map([...assetPaths.map((path) => [path, readFileSync(join(root, path))] as const), [nativeModule, readFileSync(nativePath)]]);
}
