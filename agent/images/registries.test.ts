import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { hostsFile, writeHostsFiles } from './hosts-files.ts';
import { loadRegistries, nodeKeyring, noRegistries, parseRegistries } from './registries.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-registries-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const text = `
mirrors:
  docker.io:
    endpoint: ["https://mirror.example:5000/", "http://10.0.0.1/hub"]
  "*":
    endpoint: ["http://10.0.0.1"]
configs:
  mirror.example:5000:
    auth: { username: ann, password: secret }
    tls: { ca_file: /etc/ca.crt, cert_file: /etc/c.crt, key_file: /etc/c.key }
  registry.example:
    tls: { insecure_skip_verify: true }
  docker.io:
    auth: { auth: ${Buffer.from('hub:pw').toString('base64')} }
`;

describe('the file of registries', () => {
  it('becomes what containerd reads', async () => {
    await writeFile(join(dir, 'registries.yaml'), text);
    const registries = await loadRegistries(join(dir, 'registries.yaml'));
    const folder = join(dir, 'certs.d');
    await writeHostsFiles(folder, registries);
    expect((await readdir(folder)).toSorted()).toEqual(['_default', 'docker.io', 'mirror.example:5000', 'registry.example']);
    expect(await readFile(join(folder, 'docker.io/hosts.toml'), 'utf8')).toBe(`# Written by Cleat at every start; changes are lost.
server = "https://registry-1.docker.io"

[host."https://mirror.example:5000"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/ca.crt"
  client = [["/etc/c.crt", "/etc/c.key"]]
  [host."https://mirror.example:5000".header]
    Authorization = "Basic ${Buffer.from('ann:secret').toString('base64')}"

[host."http://10.0.0.1/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true

[host."https://registry-1.docker.io"]
  capabilities = ["pull", "resolve"]
`);
    expect(await readFile(join(folder, '_default/hosts.toml'), 'utf8')).toBe('# Written by Cleat at every start; changes are lost.\n\n[host."http://10.0.0.1"]\n  capabilities = ["pull", "resolve"]\n');
    expect(await readFile(join(folder, 'registry.example/hosts.toml'), 'utf8')).toContain('skip_verify = true');
    expect((await stat(join(folder, 'docker.io/hosts.toml'))).mode & 0o777).toBe(0o600);
    expect(nodeKeyring(registries)).toEqual([['mirror.example:5000', { username: 'ann', password: 'secret' }], ['index.docker.io', { username: 'hub', password: 'pw' }]]);
    await writeHostsFiles(folder, noRegistries);
    expect(await readdir(folder)).toEqual([]);
  });

  it('may be missing or empty', async () => {
    expect(await loadRegistries(join(dir, 'absent'))).toEqual(noRegistries);
    await writeFile(join(dir, 'empty'), '');
    expect(await loadRegistries(join(dir, 'empty'))).toEqual(noRegistries);
  });

  it('says with its name what is wrong with it', async () => {
    await writeFile(join(dir, 'bad.yaml'), 'mirrors: [1]');
    await expect(loadRegistries(join(dir, 'bad.yaml'))).rejects.toMatchObject({ code: 'Invalid', message: `${join(dir, 'bad.yaml')}: mirrors must be a map; see docs/images.md` });
    await writeFile(join(dir, 'bad.yaml'), '{');
    await expect(loadRegistries(join(dir, 'bad.yaml'))).rejects.toMatchObject({ code: 'Invalid' });
  });

  test.each<[unknown, string]>([
    [[], 'the file must be a map'], [{ mirror: {} }, 'the file has "mirror", which is not known; expected mirrors, configs'],
    [{ mirrors: { 'a.example': { endpoint: 'x' } } }, 'mirrors.a.example.endpoint must be a list of URLs'],
    [{ mirrors: { 'a.example': { endpoint: ['ftp://x'] } } }, 'mirrors.a.example.endpoint has "ftp://x"; expected a URL such as https://mirror.example.com:5000'],
    [{ mirrors: { '../etc': { endpoint: [] } } }, 'mirrors has "../etc", which is no registry\'s name; expected HOST, HOST:PORT or *'],
    [{ configs: { 'a.example': { auth: {} } } }, 'configs.a.example.auth needs a username and a password'],
    [{ configs: { 'a.example': { tls: { ca_file: 'ca.crt' } } } }, 'configs.a.example.tls.ca_file must be the absolute path of a file'],
    [{ configs: { 'a.example': { tls: { cert_file: '/c' } } } }, 'configs.a.example.tls needs both of cert_file and key_file'],
  ])('refuses %j', (value, message) => { expect(() => parseRegistries(value)).toThrow(message); });

  it('leaves a registry on loopback without TLS, unless something is said of certificates', () => {
    const server = (configs: object): string | undefined => hostsFile('127.0.0.1:5000', parseRegistries({ configs: { '127.0.0.1:5000': configs } })).split('\n')[1];
    expect([server({}), server({ tls: { ca_file: '/ca' } }), server({ tls: { insecure_skip_verify: true } })]).toEqual(['server = "http://127.0.0.1:5000"', 'server = "https://127.0.0.1:5000"', 'server = "https://127.0.0.1:5000"']);
  });
});
