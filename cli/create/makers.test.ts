import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { parseFlags } from '../flags.ts';
import type { Manifest } from '../manifests.ts';
import { makerFlags, makers } from './makers.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cleat-create-'));
  mkdirSync(join(folder, 'conf/below'), { recursive: true });
  writeFileSync(join(folder, 'conf/app.ini'), 'a=1\n');
  writeFileSync(join(folder, 'bytes'), Buffer.from([0xff, 0x00]));
  writeFileSync(join(folder, 'env'), '# of the shop\nCOLOUR=blue=green\n\nEMPTY\n');
});
afterAll(() => { rmSync(folder, { recursive: true }); });

function make(what: string, args: readonly string[], words: readonly string[] = []): Manifest {
  const parsed = parseFlags('create', makerFlags, args);
  const maker = makers[what];
  if (!maker) throw new Error(`no maker of ${what}`);
  return maker(parsed.args, parsed, words);
}

describe('create', () => {
  it('a Deployment, its containers named after their images', () => {
    expect(make('deployment', ['web', '--image=registry:5000/shop/Web_Front:1.2', '--port=80', '-r', '2'], ['run', '--fast'])).toEqual({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', labels: { app: 'web' } },
      spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web-front', image: 'registry:5000/shop/Web_Front:1.2', command: ['run', '--fast'], ports: [{ containerPort: 80 }] }] } } },
    });
  });

  it('a ConfigMap of literals, files, folders and lines of an environment; bytes that are no text apart', () => {
    expect(make('cm', ['c', '--from-literal=list=1,2', `--from-file=${join(folder, 'conf')}`, `--from-file=raw=${join(folder, 'bytes')}`, `--from-env-file=${join(folder, 'env')}`])).toEqual({
      apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { list: '1,2', 'app.ini': 'a=1\n', COLOUR: 'blue=green', EMPTY: '' }, binaryData: { raw: '/wA=' },
    });
  });

  it('Secrets', () => {
    expect(make('secret', ['generic', 's', '--from-literal=word="x=y"'])).toMatchObject({ type: 'Opaque', data: { word: 'eD15' } });
    const tls = (cert: string, key: string): Manifest => make('secret', ['tls', 's', `--cert=${join(folder, cert)}`, `--key=${join(folder, key)}`]);
    const key = makeKey();
    writeFileSync(join(folder, 'cert'), makeCaCertificate(key, 'shop', Date.now(), 1e9));
    writeFileSync(join(folder, 'key'), key);
    writeFileSync(join(folder, 'other-key'), makeKey());
    expect(tls('cert', 'key')).toMatchObject({ type: 'kubernetes.io/tls', data: { 'tls.key': Buffer.from(key).toString('base64') } });
    expect(() => tls('cert', 'other-key')).toThrow(/other-key is not that of the certificate in \S+cert/);
    expect(() => tls('env', 'key')).toThrow(/env holds no certificate in PEM/);
    expect(() => tls('cert', 'bytes')).toThrow(/bytes holds no private key/);
    const { data } = make('secret', ['docker-registry', 's', '--docker-server=r', '--docker-username=u', '--docker-password=p']) as Manifest & { data: Record<string, string> };
    expect(JSON.parse(Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString())).toEqual({ auths: { r: { username: 'u', password: 'p', auth: 'dTpw' } } });
  });

  it.each<[string, string[], RegExp]>([
    ['deployment', ['web'], /required flag\(s\) "image" not set/], ['namespace', [], /exactly one NAME is required for namespace, got 0/], ['secret', ['other', 's'], /generic, tls or docker-registry/],
    ['cm', ['c', '--from-literal=novalue'], /invalid literal source novalue, expected key=value/], ['cm', ['c', '--from-literal=a=1', '--from-literal=a=2'], /cannot add key "a"/],
    ['cm', ['c', '--from-file=/no/such'], /error reading \/no\/such: no such file or directory/], ['cm', ['c', '--from-literal=a b=1'], /"a b" is not a valid key name/],
  ])('refuses %s %j', (what, args, words) => {
    expect(() => make(what, args)).toThrow(words);
  });
});
