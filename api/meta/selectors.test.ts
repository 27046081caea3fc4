import { describe, expect, it } from 'vitest';
import { formatLabelSelector, matchesFields, matchesLabels, nothing, parseFieldSelector, parseLabelSelector, requirementsOf, validateLabelSelector } from './selectors.ts';

const matches = (text: string, labels: Record<string, string>): boolean => matchesLabels(parseLabelSelector(text), labels);

describe('label selectors', () => {
  it.each([
    ['', {}, true], ['app=web', { app: 'web' }, true], ['app==web', { app: 'db' }, false], ['app!=web', {}, true], ['app!=web', { app: 'web' }, false],
    ['tier in (a, b),app', { tier: 'b', app: '' }, true], ['tier notin (a,b)', { tier: 'a' }, false], ['tier notin (a,b)', {}, true],
    ['!canary', {}, true], ['!canary', { canary: '' }, false], ['n>3', { n: '4' }, true], ['n<3', { n: 'x' }, false], ['app=', { app: '' }, true],
    ['example.com/x = y', { 'example.com/x': 'y' }, true], ['x in ()', { x: '' }, true], ['constructor', {}, false], ['in in (in)', { in: 'in' }, true],
  ])('%j on %j: %j', (text, labels, expected) => expect(matches(text, labels)).toBe(expected));

  it.each([
    [',app', "found ',', expected: !, identifier, or 'end of string'"],
    ['app,', "found '', expected: identifier after ','"],
    ['app web', "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"],
    ['app in a', "unable to parse requirement: found 'a' expected: '('"],
    ['app in (a', "unable to parse requirement: found '', expected: ',', ')' or identifier"],
    ['app=a b', "found 'b', expected: ',' or 'end of string'"],
    ['app>x', "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"],
  ])('refuses %j', (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ code: 'BadRequest', message }));
  });

  it('refuses bad keys and values', () => {
    expect(() => parseLabelSelector('_x')).toThrow('unable to parse requirement: key: Invalid value: "_x": name part must consist of');
    expect(() => parseLabelSelector('a=-b')).toThrow('values[0][a]: Invalid value: "-b": a valid label must be');
  });

  it('comes from objects', () => {
    expect(requirementsOf(undefined)).toBe(nothing);
    expect(requirementsOf(undefined)).toBe(nothing);
    expect(matchesLabels(requirementsOf(undefined), { a: 'b' })).toBe(false);
    expect(matchesLabels(requirementsOf({}), { a: 'b' })).toBe(true);
    const selector = { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['b', 'a'] }, { key: 'x', operator: 'DoesNotExist' }] };
    expect(formatLabelSelector(requirementsOf(selector))).toBe('app=web,tier notin (a,b),!x');
    expect(parseLabelSelector(formatLabelSelector(requirementsOf(selector)))).toHaveLength(3);
  });

  it('are checked inside objects', () => {
    const errors = validateLabelSelector({ matchExpressions: [{ key: 'a', operator: 'In' }, { key: 'b', operator: 'Like' }, { key: 'c', operator: 'Exists', values: ['x'] }] }, 'spec.selector');
    expect(errors.map(({ field, message }) => `${field}: ${message}`)).toEqual([
      "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      'spec.selector.matchExpressions[1].operator: Invalid value: "Like": not a valid selector operator',
      "spec.selector.matchExpressions[2].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
    ]);
  });
});

describe('field selectors', () => {
  it('are read with all three operators and escapes', () => {
    expect(parseFieldSelector('metadata.name=web,status.phase!=Running,a==b\\,c\\=d,')).toEqual([
      { field: 'metadata.name', op: '=', value: 'web' },
      { field: 'status.phase', op: '!=', value: 'Running' },
      { field: 'a', op: '=', value: 'b,c=d' },
    ]);
    expect(parseFieldSelector('')).toEqual([]);
  });

  it('say what they cannot understand', () => {
    expect(() => parseFieldSelector('a=b,what')).toThrow("invalid selector: 'a=b,what'; can't understand 'what'");
  });

  it('match by value', () => {
    const valueOf = (field: string): string => (field === 'a' ? '1' : '');
    expect(matchesFields(parseFieldSelector('a=1,b='), valueOf)).toBe(true);
    expect(matchesFields(parseFieldSelector('a!=1'), valueOf)).toBe(false);
  });
});
