import { describe, expect, it } from 'vitest';
import { humanAge } from './age.ts';
import { render } from './jsonpath.ts';
import { printObjects } from './objects.ts';
import { TablePrinter } from './table.ts';

const list = { kind: 'List', items: [{ metadata: { name: 'a', labels: { 'x.y/z': '1' } }, status: { n: 3, ready: true } }, { metadata: { name: 'b' }, status: { n: 1, ready: false } }] };

describe('jsonpath', () => {
  it.each([
    ['{.kind}', 'List'],
    ['{.items[*].metadata.name}', 'a b'],
    ['{.items[-1].metadata.name}', 'b'],
    ['{.items[0:1].metadata.name}', 'a'],
    ['{..name}', 'a b'],
    ["{.items[0].metadata.labels['x.y/z']}", '1'],
    ['{.items[0].metadata.labels.x\\.y/z}', '1'],
    ['{.items[?(@.status.n>2)].metadata.name}', 'a'],
    ['{.items[?(@.metadata.name=="b")].status.n}', '1'],
    ['{range .items[*]}{.metadata.name}{"\\t"}{.status.n}{"\\n"}{end}', 'a\t3\nb\t1\n'],
    ['name: {.items[0].metadata.name}', 'name: a'],
    ['{.items[0].status}', '{"n":3,"ready":true}'],
    ['{.nothing}', ''],
  ])('%s', (template, expected) => {
    expect(render(template, list)).toBe(expected);
  });
  it.each(['{.a', '{range .items[*]}{.a}', '{end}', '{.items[}'])('refuses %s', (template) => {
    expect(() => render(template, list)).toThrow('error parsing jsonpath');
  });
  it('refuses an index beyond the end of a list', () => {
    expect(() => render('{.items[9].a}', { items: [{ a: 1 }] })).toThrow('array index out of bounds: index 9, length 1');
  });
});

describe('TablePrinter', () => {
  const table = { columnDefinitions: [{ name: 'Name', priority: 0 }, { name: 'Status', priority: 0 }, { name: 'IP', priority: 1 }], rows: [{ cells: ['web\u001b[2J', 'Running', '10.0.0.1'], object: { metadata: { name: 'web', namespace: 'default' } } }] };
  const options = { wide: false, headers: true, namespaces: false, labels: false };
  it('prints columns by priority and lets no control character through', () => {
    expect(new TablePrinter(options).print(table)).toBe('NAME      STATUS\nweb [2J   Running\n');
    expect(new TablePrinter({ ...options, wide: true, namespaces: true }).print(table)).toBe('NAMESPACE   NAME      STATUS    IP\ndefault     web [2J   Running   10.0.0.1\n');
  });
  it('prints the header once, and no more', () => {
    const printer = new TablePrinter(options);
    printer.print(table);
    expect(printer.print({ columnDefinitions: [], rows: table.rows })).toBe('web [2J   Running\n');
  });
});

describe('printObjects', () => {
  it('prints YAML with sorted keys and JSON with four blanks', async () => {
    const print = (object: object, output: string) => printObjects([object], { output, headers: true, managedFields: false, single: true });
    expect(await print({ b: ['x', { y: 1 }], a: 'yes', time: '2026-11-21T07:32:25Z' }, 'yaml')).toBe('a: "yes"\nb:\n- x\n- "y": 1\ntime: "2026-11-21T07:32:25Z"\n');
    expect(await print({ metadata: { name: 'web', managedFields: [{}] } }, 'json')).not.toContain('managedFields');
    expect(await print({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } }, 'name')).toBe('deployment.apps/web\n');
    expect(await print({ a: 1 }, 'json')).toBe('{\n    "a": 1\n}\n');
  });
});

describe('humanAge', () => {
  it.each([[5_000, '5s'], [119_000, '119s'], [125_000, '2m5s'], [3_600_000, '60m'], [4 * 3_600_000 + 60_000, '4h1m'], [30 * 3_600_000, '30h'], [4 * 86_400_000 + 3_600_000, '4d1h'], [400 * 86_400_000, '400d'], [800 * 86_400_000, '2y70d']])('%d', (ms, text) => {
    expect(humanAge(ms)).toBe(text);
  });
});
