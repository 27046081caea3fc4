import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

/** The import rules of docs/architecture.md, held over every source file. */
const root = join(import.meta.dirname, '..');
const rooms = ['api', 'common', 'controlplane', 'agent', 'cli', 'install', 'proto', 'test', 'bench'];

interface Import { readonly file: string; readonly target: string; readonly lazy: boolean }

function sources(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(join(root, path)).isDirectory()) return sources(path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

/** Imports with their target as a path below the root (`api/meta/object.ts`) or a package's name. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/^\s*(?:import|export)\b[^'";]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\('([^']+)'\)/gm)];
  return found.map(([, from, bare, lazy]) => {
    const specifier = from ?? bare ?? lazy ?? '';
    const target = specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier.replace(/^#/, '');
    return { file, target, lazy: lazy !== undefined };
  });
}

const files = rooms.flatMap((room) => sources(room));
const imports = files.flatMap(importsOf);
/** Tests, and what only tests use: contract suites, `testing.ts` and `test-*.ts`. */
const isTest = (file: string): boolean => /(\.test|\/contract|\/test-[^/]*|\/testing)\.ts$|^(test|bench)\//.test(file);
const isMain = (file: string): boolean => /(^|\/)main\.ts$/.test(file);
const room = (path: string): string => path.split('/')[0] ?? '';
const shipped = imports.filter(({ file }) => !isTest(file));
const broken = (rule: (i: Import) => boolean, of = shipped): string[] => of.filter(rule).map(({ file, target }) => `${file} -> ${target}`);

describe('imports', () => {
  it('reads the sources', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(imports.some(({ target }) => target === 'api/meta/object.ts')).toBe(true);
  });
  it('common imports nothing of ours; api imports common/errors only', () => {
    expect(broken(({ file, target }) => room(file) === 'common' && rooms.includes(room(target)) && room(target) !== 'common')).toEqual([]);
    expect(broken(({ file, target }) => room(file) === 'api' && rooms.includes(room(target)) && room(target) !== 'api' && target !== 'common/errors.ts')).toEqual([]);
  });
  it('agent and controlplane never import each other; cli starts them by their main.ts only', () => {
    expect(broken(({ file, target }) => room(file) === 'agent' && ['controlplane', 'cli', 'test'].includes(room(target)))).toEqual([]);
    expect(broken(({ file, target }) => room(file) === 'controlplane' && ['agent', 'cli', 'test'].includes(room(target)))).toEqual([]);
    const starters = ['cli/commands/up.ts', 'cli/commands/controlplane.ts', 'cli/commands/agent.ts', 'cli/commands/down.ts', 'cli/commands/restore.ts'];
    const allowed = ({ file, target }: Import): boolean => ['cli', 'api', 'common'].includes(room(target)) || (starters.includes(file) && /^(agent|controlplane)\/(main|config)\.ts$/.test(target));
    expect(broken((i) => room(i.file) === 'cli' && rooms.includes(room(i.target)) && !allowed(i))).toEqual([]);
  });
  it('wire types stop at the edge', () => {
    const speakers = [/^agent\/session\//, /^controlplane\/dispatcher\//, /^controlplane\/store\/backends\/etcd\//, /^agent\/runtimes\/\w+\//, /^agent\/devices\/plugins\//, /^agent\/main\.ts$/];
    expect(broken(({ file, target }) => room(target) === 'proto' && room(file) !== 'proto' && !speakers.some((speaker) => speaker.test(file)))).toEqual([]);
  });
  it('only main.ts and tests import a registry', () => {
    expect(broken(({ file, target }) => target.endsWith('/registry.ts') && rooms.includes(room(target)) && !isMain(file))).toEqual([]);
  });
  it('an implementation never imports a sibling', () => {
    const seams = ['agent/runtimes', 'agent/proxy/backends', 'controlplane/store/backends', 'controlplane/scheduler/plugins', 'controlplane/controllers', 'api/kinds'];
    const part = (path: string): string | undefined => {
      const seam = seams.find((s) => path.startsWith(`${s}/`));
      const rest = seam === undefined ? [] : path.slice(seam.length + 1).split('/');
      return rest.length > 1 && !['shared', 'sandbox', 'containerd'].includes(rest[0] ?? '') ? `${seam ?? ''}/${rest[0] ?? ''}` : undefined;
    };
    expect(broken(({ file, target }) => part(file) !== undefined && part(target) !== undefined && part(file) !== part(target))).toEqual([]);
  });
  it('outside things have one owner', () => {
    expect(broken(({ file, target }) => ['execa', 'node:child_process'].includes(target) && file !== 'common/exec.ts')).toEqual([]);
    expect(broken(({ file, target }) => ['level', 'classic-level'].includes(target) && !file.startsWith('controlplane/store/backends/leveldb/'))).toEqual([]);
  });
  it('pure files do no I/O', () => {
    expect(broken(({ file, target }) => /\/(step|reconcile|rules|kind)\.ts$/.test(file) && (target.startsWith('node:') || /^common\/(clock|log|exec)/.test(target)))).toEqual([]);
    expect(files.filter((file) => /\/(step|reconcile|rules|kind)\.ts$/.test(file) && /\bawait\b/.test(readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')))).toEqual([]);
  });
  it('every target exists', () => {
    const missing = imports.filter(({ target }) => rooms.includes(room(target)) && target.includes('/') && !statSync(join(root, target), { throwIfNoEntry: false }));
    expect(missing.map(({ file, target }) => `${file} -> ${relative('.', target)}`)).toEqual([]);
  });
});

describe('registries', () => {
  it.each([
    ['agent/runtimes', /^(containerd|sandbox)$/], ['agent/proxy', /^$/, 'backends'], ['controlplane/store', /^$/, 'backends'],
    ['controlplane/controllers', /^$/], ['controlplane/scheduler', /^$/, 'plugins'], ['api/kinds', /^$/],
  ])('%s names every folder of its parts', (seam, apart, folder = '') => {
    const registry = readFileSync(join(root, seam, 'registry.ts'), 'utf8');
    const parts = readdirSync(join(root, seam, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory() && !apart.test(entry.name));
    expect(parts.length).toBeGreaterThan(0);
    expect(parts.map(({ name }) => name).filter((name) => !registry.includes(`/${name}/`))).toEqual([]);
  });
});

describe('house rules', () => {
  it('no source file is longer than 500 lines', () => {
    const long = files.filter((file) => !isTest(file) && !file.startsWith('api/gen/'))
      .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').filter((line) => !/^\s*(\/\/|\*|\/\*|$)/.test(line)).length }))
      .filter(({ lines }) => lines > 500);
    expect(long).toEqual([]);
  });
  it('no console outside the CLI, the installer and measurements', () => {
    const chatty = files.filter((file) => ['api', 'common', 'controlplane', 'agent'].includes(room(file)) && !isTest(file) && /\bconsole\./.test(readFileSync(join(root, file), 'utf8')));
    expect(chatty).toEqual([]);
  });
  it('environment variables are read in config.ts and in the command line only; exec.ts hands them on', () => {
    const readers = files.filter((file) => !isTest(file) && !/(^|\/)(config|main)\.ts$|^common\/exec\.ts$|^cli\/|^install\//.test(file) && /\bprocess\.env\b/.test(readFileSync(join(root, file), 'utf8')));
    expect(readers).toEqual([]);
  });
});
