import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { kubeconfigText } from '#common/pki/kubeconfig.ts';
import { parsePlainYaml } from './plain-yaml.ts';

describe('plain YAML', () => {
  it('reads the kubeconfig that we write, and the one that kubectl makes of it', () => {
    const ours = kubeconfigText({ server: 'https://[::1]:6443', caPem: 'ca', certPem: 'cert', keyPem: 'key' });
    expect(parsePlainYaml(ours)).toEqual(parse(ours));
    const kubectls = 'apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: LS0tLS1=\n    server: https://127.0.0.1:6443\n  name: cleat\ncontexts:\n- context:\n    cluster: cleat\n    user: a\n  name: cleat\ncurrent-context: cleat\nkind: Config\npreferences: {}\nusers:\n- name: a\n  user:\n    token: abc\n';
    expect(parsePlainYaml(kubectls)).toEqual(parse(kubectls));
  });

  it('leaves everything else to a parser of all of YAML', () => {
    for (const text of ['', 'a: 1', 'a: 0x1f', "a: 'x'", 'a: "x\\n"', 'a: b c', 'a: &x b', 'a: *x', 'a: |\n  b', 'a: {b: c}', 'a: b # c', 'a:\n  b: c\n d: e', 'a: b\na: c', '- - a', '-', '---\na: b', 'a\tb: c', 'a: b\n  c', '? a', 'a: .inf', 'a: ~', 'yes: a', '- a: b\n c: d', '- a\n  - b', 'a:\n- b\n  c: d']) {
      const plain = parsePlainYaml(text);
      if (plain !== undefined) expect([text, plain]).toEqual([text, parse(text)]);
    }
    expect(parsePlainYaml('a: b # c')).toBeUndefined();
  });

  it('never reads a text differently than that parser', () => {
    const line = fc.tuple(fc.constantFrom('', '  ', '    ', ' '), fc.constantFrom('', '- ', '- - ', '-'), fc.constantFrom('', 'a: ', 'b:', 'c-d: ', 'a:'), fc.constantFrom('', 'x', 'true', 'null', '{}', '"q r"', '12', 'No', 'https://h:1', '#', "'s'", '~'));
    fc.assert(fc.property(fc.array(line, { maxLength: 7 }), (lines) => {
      const text = lines.map((parts) => parts.join('')).join('\n');
      const plain = parsePlainYaml(text);
      if (plain !== undefined) expect(plain).toEqual(parse(text));
    }), { numRuns: 5000 });
  });
});
