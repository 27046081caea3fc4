import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command } from './config.ts';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cleat-kubeconfig-'));
  path = join(dir, 'config');
  writeFileSync(path, JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'home', clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443', 'certificate-authority-data': 'Y2E=' } }],
    users: [{ name: 'u', user: { token: 'secret' } }], contexts: [{ name: 'home', context: { cluster: 'c', user: 'u' } }], extensions: [{ name: 'kept' }],
  }), { mode: 0o644 });
});
afterEach(() => { rmSync(dir, { recursive: true }); });

async function config(...argv: string[]): Promise<{ code: number; out: string }> {
  let out = '';
  const say = (text: string | Uint8Array): boolean => { out += String(text); return true; };
  const code = await command.run([...argv, '--kubeconfig', path], { out: say, err: say, env: {}, stdin: Readable.from([]), terminal: false, interrupted: new AbortController().signal });
  return { code, out };
}

describe('cleat config', () => {
  it('hides what must not be seen, unless asked', async () => {
    expect((await config('view')).out).toMatch(/certificate-authority-data: DATA\+OMITTED[^]*token: REDACTED/);
    expect((await config('view', '--raw')).out).toMatch(/token: secret/);
  });

  it('makes, changes, renames, chooses and forgets contexts, and keeps the rest', async () => {
    expect((await config('set-context', 'away', '--cluster=c', '--user=u', '--namespace=web')).out).toBe('Context "away" created.\n');
    expect((await config('use-context', 'away')).out).toBe('Switched to context "away".\n');
    expect((await config('set-context', '--current', '--namespace=db')).out).toBe('Context "away" modified.\n');
    expect((await config('rename-context', 'away', 'far')).out).toBe('Context "away" renamed to "far".\n');
    expect((await config('current-context')).out).toBe('far\n');
    expect((await config('get-contexts')).out).toBe('CURRENT   NAME   CLUSTER   AUTHINFO   NAMESPACE\n*         far    c         u          db\n          home   c         u          \n');
    expect((await config('delete-context', 'home')).out).toBe(`deleted context home from ${path}\n`);
    expect(readFileSync(path, 'utf8')).toContain('name: kept');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it.each([
    [['use-context', 'nowhere'], 'no context exists with the name: "nowhere"'],
    [['delete-context', 'nowhere'], 'cannot delete context nowhere'],
    [['rename-context', 'home', 'home'], 'the context "home" already exists'],
    [['use-context'], 'expected the name of a context'],
    [['nonsense'], 'unknown subcommand "nonsense"'],
  ])('%j is refused', async (argv, why) => {
    await expect(config(...argv)).rejects.toThrow(why);
  });
});
