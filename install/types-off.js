// Servers run from sources whose types have been taken off beforehand: Node's own type stripper would stay in memory
// with 16 MB, and its compile cache with all that it has read, 5 MB in a control plane.
//
//   node install/types-off.js           takes the types off every source that has not been yet
//   node --import ./install/types-off.js main.ts   runs from what was kept
//
// JavaScript, because it is what makes TypeScript run. What is kept is named by what it was made from, so it is never
// stale; what is not there is left to Node.
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import * as module from 'node:module';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);
const kept = new URL('node_modules/.cache/types-off/', root);

/** @param {string} source */
function nameOf(source) {
  return `${createHash('sha1').update(source).digest('hex')}.js`;
}

/** @param {string} url */
function load(url) {
  try {
    return readFileSync(new URL(nameOf(readFileSync(new URL(url), 'utf8')), kept), 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Types leave blanks behind, which are held in memory with the source; at the ends of lines nobody misses them.
 * @param {string} source
 */
function withoutTypes(source) {
  const before = source.split('\n');
  return module.stripTypeScriptTypes(source).split('\n').map((line, i) => (line === before[i] ? line : line.trimEnd())).join('\n');
}

function prepare() {
  mkdirSync(kept, { recursive: true });
  const there = new Set(readdirSync(kept));
  const wanted = new Set();
  for (const file of globSync('{agent,api,cli,common,controlplane,install,proto}/**/*.ts', { cwd: fileURLToPath(root), exclude: (name) => name.endsWith('.test.ts') })) {
    const source = readFileSync(new URL(file, root), 'utf8');
    const name = nameOf(source);
    wanted.add(name);
    if (there.has(name)) continue;
    const unfinished = new URL(`${name}.${String(process.pid)}`, kept);
    writeFileSync(unfinished, withoutTypes(source));
    renameSync(unfinished, new URL(name, kept));
  }
  for (const name of there) if (name.endsWith('.js') && !wanted.has(name)) rmSync(new URL(name, kept), { force: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  prepare();
} else {
  module.registerHooks({
    load: (url, context, next) => {
      const source = url.endsWith('.ts') && url.startsWith(root.href) ? load(url) : undefined;
      return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true };
    },
  });
}
