import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildKustomization } from './build.ts';
import { writeGoYaml } from './go-yaml.ts';

const fixtures = join(import.meta.dirname, 'fixtures');

async function built(folder: string, warnings: string[] = []): Promise<string> {
  return (await buildKustomization(folder, (line) => warnings.push(line))).map(writeGoYaml).join('---\n');
}

/** A folder with these files. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'cleat-kustomize-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const configMap = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;

describe('kustomize', () => {
  // What kubectl 1.33 prints for these folders is beside them.
  const names = readdirSync(fixtures).flatMap((file) => (file.endsWith('.expected.yaml') ? [file.slice(0, -'.expected.yaml'.length)] : []));
  it.each(names)('prints %s as kubectl does', async (name) => {
    expect(await built(join(fixtures, name))).toBe(readFileSync(join(fixtures, `${name}.expected.yaml`), 'utf8'));
  });

  it('warns of fields of old', async () => {
    const warnings: string[] = [];
    await built(join(fixtures, 'legacy'), warnings);
    expect(warnings[0]).toBe("# Warning: 'bases' is deprecated. Please use 'resources' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
    expect(warnings).toHaveLength(5);
  });

  it.each([
    ['an unknown field', { 'kustomization.yaml': 'foo: 1' }, 'invalid Kustomization: json: unknown field "foo"'],
    ['a value of another type', { 'kustomization.yaml': 'commonLabels: {a: 1}' }, 'invalid Kustomization: json: cannot unmarshal number into Go struct field Kustomization.commonLabels of type string'],
    ['text for a list', { 'kustomization.yaml': 'resources: a' }, 'invalid Kustomization: json: cannot unmarshal string into Go struct field Kustomization.resources of type []string'],
    ['an empty file', { 'kustomization.yaml': '' }, 'kustomization.yaml is empty'],
    ['no file', {}, "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory 'ROOT'"],
    ['two files', { 'kustomization.yaml': 'namePrefix: a', Kustomization: 'namePrefix: a' }, 'Found multiple kustomization files under: ROOT\n'],
    ['a missing resource', { 'kustomization.yaml': 'resources: [x.yaml]' }, "accumulating resources: accumulation err='accumulating resources from 'x.yaml': evalsymlink failure on 'ROOT/x.yaml' : lstat ROOT/x.yaml: no such file or directory': must build at directory: not a valid directory: evalsymlink failure on 'ROOT/x.yaml' : lstat ROOT/x.yaml: no such file or directory"],
    ['a kustomization that holds itself', { 'a/kustomization.yaml': 'resources: [../a]', 'kustomization.yaml': 'resources: [a]' }, "cycle detected: candidate root 'ROOT/a' contains visited root 'ROOT/a'"],
    ['two that hold each other', { 'a/kustomization.yaml': 'resources: [../b]', 'b/kustomization.yaml': 'resources: [../a]', 'kustomization.yaml': 'resources: [a]' }, "cycle detected: candidate root 'ROOT/a' contains visited root 'ROOT/a'"],
    ['a file outside of its folder', { 'a/kustomization.yaml': 'resources: [../x.yaml]', 'x.yaml': configMap('x'), 'kustomization.yaml': 'resources: [a]' }, "security; file 'ROOT/x.yaml' is not in or below 'ROOT/a'"],
    ['the same object twice', { 'kustomization.yaml': 'resources: [x.yaml, y.yaml]', 'x.yaml': configMap('x'), 'y.yaml': configMap('x') }, "merging resources from 'y.yaml': may not add resource with an already registered id: ConfigMap.v1.[noGrp]/x.[noNs]"],
    ['a patch for nothing', { 'kustomization.yaml': 'patches: [{patch: "{apiVersion: v1, kind: X, metadata: {name: b}}"}]' }, 'no resource matches strategic merge patch "X.v1.[noGrp]/b.[noNs]": no matches for Id X.v1.[noGrp]/b.[noNs]; failed to find unique target for patch X.v1.[noGrp]/b.[noNs]'],
    ['a patch that is none', { 'kustomization.yaml': 'patches: [{patch: "a: b"}]' }, 'unable to parse SM or JSON patch from [patch: "a: b"]'],
    ['a JSON patch for nobody', { 'kustomization.yaml': "patches: [{patch: '[{\"op\": \"remove\", \"path\": \"/a\"}]'}]" }, 'must specify a target for JSON patch'],
    ['a merge into nothing', { 'kustomization.yaml': 'configMapGenerator: [{name: a, behavior: merge}]' }, 'ConfigMap.v1.[noGrp]/a.[noNs] does not exist; cannot merge or replace'],
    ['a generated object that is there', { 'kustomization.yaml': 'resources: [x.yaml]\nconfigMapGenerator: [{name: x}]', 'x.yaml': configMap('x') }, 'exists; behavior must be merge or replace'],
    ['a patch that does not apply', { 'kustomization.yaml': "resources: [x.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"X\"}]'}]", 'x.yaml': configMap('x') }, 'testing value /kind failed: test failed'],
    ['a key twice', { 'kustomization.yaml': 'configMapGenerator: [{name: a, literals: [b=1, b=2]}]' }, 'configmap a illegally repeats the key `b`'],
    ['a literal without a value', { 'kustomization.yaml': 'configMapGenerator: [{name: a, literals: [b]}]' }, 'loading KV pairs: literal sources [b]: invalid literal source b, expected key=value'],
    ['replicas of nobody', { 'kustomization.yaml': 'replicas: [{name: a, count: 1}]' }, 'resource with name a does not match a config with the following GVK [Deployment.[noVer].[noGrp] ReplicationController.[noVer].[noGrp] ReplicaSet.[noVer].[noGrp] StatefulSet.[noVer].[noGrp]]'],
    ['a source that is not there', { 'kustomization.yaml': 'replacements: [{source: {kind: A, name: b}, targets: [{select: {kind: C}}]}]' }, 'nothing selected by A.[noVer].[noGrp]/b.[noNs]:metadata.name'],
    ['a component among resources', { 'kustomization.yaml': 'resources: [c]', 'c/kustomization.yaml': 'kind: Component\nnamePrefix: a' }, "expected kind != 'Component' for path 'ROOT/c'"],
    ['a kustomization among components', { 'kustomization.yaml': 'components: [c]', 'c/kustomization.yaml': 'namePrefix: a' }, "expected kind 'Component' for path 'ROOT/c' but got 'Kustomization'"],
    ['an object without a name', { 'kustomization.yaml': 'resources: [x.yaml]', 'x.yaml': 'apiVersion: v1\nkind: ConfigMap\n' }, 'missing metadata.name in object'],
    ['a remote repository', { 'kustomization.yaml': 'resources: ["github.com/example/app//deploy?ref=v1"]' }, "'github.com/example/app//deploy?ref=v1' is a git repository, which cleat does not fetch: clone it, and name the folder in place of the URL"],
    ['a chart', { 'kustomization.yaml': 'helmCharts: [{name: a}]' }, "the field 'helmCharts' of kustomizations is beyond cleat: render the chart with 'helm template', and name what that wrote under resources"],
    ['a kind of another program', { 'kustomization.yaml': 'kind: Other\nnamePrefix: a' }, 'Failed to read kustomization file under ROOT:\nkind should be Kustomization or Component'],
    ['text that is no YAML', { 'kustomization.yaml': 'resources: [x.yaml]', 'x.yaml': 'a: [' }, "MalformedYAMLError: yaml: "],
  ])('refuses %s', async (_what, files, message) => {
    const root = folderOf(files as unknown as Record<string, string>);
    await expect(built(root)).rejects.toThrow(message.replaceAll('ROOT', root));
  });

  it('reads plain files by URL', async () => {
    const server = createServer((request, response) => { response.writeHead(request.url === '/x.yaml' ? 200 : 404).end(configMap('far')); });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const address = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
      expect(await built(folderOf({ 'kustomization.yaml': `resources: ["${address}/x.yaml"]\nnamePrefix: so-` }))).toContain('name: so-far\n');
      await expect(built(folderOf({ 'kustomization.yaml': `resources: ["${address}/y.yaml"]` }))).rejects.toThrow(`unable to read URL "${address}/y.yaml", server reported 404`);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it('follows no link out of its folder', async () => {
    const root = folderOf({ 'a/kustomization.yaml': 'configMapGenerator: [{name: a, files: [secret]}]', secret: 'x' });
    symlinkSync(join(root, 'secret'), join(root, 'a/secret'));
    await expect(built(join(root, 'a'))).rejects.toThrow(`security; file '${root}/secret' is not in or below '${root}/a'`);
  });

  it('says where objects are from, if asked', async () => {
    const root = folderOf({ 'top/kustomization.yaml': 'resources: [../base]\nbuildMetadata: [originAnnotations]\nconfigMapGenerator: [{name: g}]', 'base/kustomization.yaml': 'resources: [x.yaml]', 'base/x.yaml': configMap('x') });
    expect(await built(join(root, 'top'))).toContain('config.kubernetes.io/origin: |\n      path: ../base/x.yaml\n');
  });
});
