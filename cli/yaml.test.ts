import { describe, expect, it } from 'vitest';
import { formatYaml, parseYaml } from './yaml.ts';

describe('YAML', () => {
  // The answers are those of `kubectl annotate --local -o json`.
  it.each([
    ['y', true], ['Yes', true], ['on', true], ['n', false], ['no', false], ['Off', false], ['~', null],
    ['0644', 420], ['0o17', 15], ['1_000', 1000], ['0x1F', 31], ['1e3', 1000], ['08', 8], ['0b11', 3], ['1.10', 1.1],
    ['22:22', '22:22'], ['12:30:45', '12:30:45'], ['190:20:30.15', '190:20:30.15'], ['2001-01-01', '2001-01-01'], ['2001-12-14t21:59:43.10-05:00', '2001-12-14t21:59:43.10-05:00'], ['!!binary aGk=', 'hi'],
  ])('reads %s as kubectl does', (text, value) => {
    expect(parseYaml(`key: ${text}\n`, 'test')).toEqual([{ key: value }]);
  });
  it('reads keys as kubectl does, and merges', () => {
    expect(parseYaml('{y: z, 12: x}', 'test')).toEqual([{ true: 'z', 12: 'x' }]);
    expect(parseYaml('a: &a {b: c}\nd: {<<: *a, e: f}\n', 'test')).toEqual([{ a: { b: 'c' }, d: { b: 'c', e: 'f' } }]);
  });
  it('writes text so that it is read as text again', () => {
    for (const text of ['y', 'no', 'Off', '0644', '0o17', '1e3', '08', 'null', '~', '', '22:22', '2001-01-01', 'a: b', '# c', ' d', 'e\nf\n', '- g']) {
      expect(parseYaml(formatYaml({ key: text }), 'test')).toEqual([{ key: text }]);
    }
    expect(formatYaml({ b: [{ c: 'plain', a: 1 }], a: 'yes' })).toBe('a: "yes"\nb:\n- a: 1\n  c: plain\n');
  });
  it('takes points without digits for text', () => {
    expect(parseYaml('[., -., +., ._, .5, 5.]', 'test')).toEqual([['.', '-.', '+.', '._', 0.5, 5]]);
  });
  it('names the document that is broken', () => {
    expect(() => parseYaml('a: b\n---\na: [\n', 'web.yaml')).toThrow(/^error parsing web\.yaml: document 2: .* at line 4/);
    expect(() => parseYaml('a: 1\na: 2\n', 'web.yaml')).toThrow('Map keys must be unique');
  });
});
