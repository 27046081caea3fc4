import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Budget, CelBudgetError, CelCompileError, CelError, compile, evaluate, fromJson, typeOfSchema, type CelType } from './cel.ts';
import * as t from './types.ts';
import { Uint, type Value } from './values.ts';

const run = (text: string, variables: Record<string, unknown> = {}): Value => {
  const types: Record<string, CelType> = Object.fromEntries(Object.keys(variables).map((name) => [name, t.dyn]));
  return evaluate(compile(text, { variables: types }), Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, fromJson(value)])));
};

describe('expressions', () => {
  it.each<[string, Value]>([
    ['1 + 2 * 3', 7n], ['-7 / 2', -3n], ['7 % -3', 1n], ['2u + 3u == 5u', true], ['1.5 + 1.0', 2.5], ['-(1)', -1n], ['--1', 1n], ['!!true', true], ['0x1F', 31n], ['1e3', 1000],
    ['-9223372036854775808', -(2n ** 63n)], ['"a" + \'b\'', 'ab'], ['r"\\d"', '\\d'], ['"\\u00e9\\x41\\101"', 'éAA'], ['"""a"b"""', 'a"b'],
    ['1 < 2 && 2.0 >= 1', true], ['1 < 2u', true], ['"a" < "b"', true], ['true ? 1 : 2', 1n], ['false || true', true],
    ['1/0 == 1 || true', true], ['true || 1/0 == 1', true], ['1/0 == 1 && false', false],
    ['[1, 2, 3].all(x, x > 0)', true], ['[1, 2, 3].exists(x, x == 2)', true], ['[1, 2, 2].exists_one(x, x == 2)', false], ['[1, 2].existsOne(x, x == 2)', true],
    ['[1, 2, 3].filter(x, x > 1).map(y, y * 2) == [4, 6]', true], ['[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]', true], ['[1, 0].exists(x, 1/x == 1)', true], ['{"a": 1, "b": 2}.all(k, k in ["a", "b"])', true],
    ['[5, 6].all(i, v, v == i + 5)', true], ['{"a": 1}.transformList(k, v, k + string(v)) == ["a1"]', true], ['{"a": 1}.transformMap(k, v, v + 1) == {"a": 2}', true],
    ['has({"a": 1}.a)', true], ['has({"a": 1}.b)', false], ['{"a": {"b": 2}}.a.b', 2n], ['{"a": 1}["a"]', 1n], ['{1: "x"}[1]', 'x'], ['[1, 2][1]', 2n],
    ['1 in [1, 2]', true], ['"a" in {"a": 1}', true], ['type(1) == int', true], ['type("a") == string', true], ['type([1]) == list', true], ['dyn(1) == 1.0', true], ['dyn([1]) == [1.0]', true], ['null == null', true],
    ['int("12") + int(3.9) + int(2u)', 17n], ['uint(3)', new Uint(3n)], ['double("1.5")', 1.5], ['string(1.0)', '1'], ['string(true)', 'true'], ['bool("t")', true], ['size("😀a")', 2n], ['"😀a".size()', 2n], ['string(b"abc")', 'abc'], ['bytes("é") == b"\\xc3\\xa9"', true],
    ['"hello".contains("ell") && "hello".startsWith("he") && "hello".endsWith("lo")', true], ['"abc".matches("^a.c$")', true], ['matches("abc", "b")', true],
    ['cel.bind(x, 2, x * x)', 4n], ['a.b.c == 3', true],
  ])('%s', (text, expected) => {
    expect(run(text, { a: { b: { c: 3 } } })).toEqual(expected);
  });

  it.each<[string, Value]>([
    ['timestamp("2023-12-25T12:30:15.5Z").getFullYear()', 2023n], ['timestamp("2023-12-25T12:30:15.5Z").getMonth()', 11n], ['timestamp("2023-12-25T12:30:15Z").getDayOfWeek()', 1n], ['timestamp("2023-12-25T12:30:15.5Z").getMilliseconds()', 500n],
    ['timestamp("2023-12-25T23:30:00Z").getDate("Europe/Berlin")', 26n], ['timestamp("2023-12-25T23:30:00Z").getHours("-02:00")', 21n], ['timestamp("2023-01-01T00:00:00Z") + duration("36h") == timestamp("2023-01-02T12:00:00Z")', true],
    ['duration("1h30m").getMinutes()', 90n], ['string(duration("1h1.5s"))', '3601.5s'], ['timestamp("2023-01-02T00:00:00Z") - timestamp("2023-01-01T00:00:00Z") == duration("24h")', true], ['string(timestamp("2023-01-01T00:00:00+01:00"))', '2022-12-31T23:00:00Z'],
    ['"tacocat".charAt(3)', 'o'], ['"hello mellow".indexOf("ello", 2)', 7n], ['"hello mellow".lastIndexOf("ello")', 7n], ['"TacoCat".lowerAscii()', 'tacocat'], ['"hello hello".replace("he", "we", 1)', 'wello hello'], ['"a,b,c".split(",") == ["a", "b", "c"]', true], ['"a,b,c".split(",", 2)[1]', 'b,c'],
    ['"tacocat".substring(4)', 'cat'], ['"tacocat".substring(0, 4)', 'taco'], ['" a ".trim()', 'a'], ['["x", "y"].join("-")', 'x-y'], ['"%s has %d and %.2f".format(["it", 3, 1.5])', 'it has 3 and 1.50'], ['strings.quote("a\\n")', '"a\\n"'],
    ['[1, 3].sum() + [5, 2].min() + [5, 2].max()', 11n], ['[1, 2, 2].isSorted()', true], ['["a", "b"].indexOf("b")', 1n], ['[3, 1, 2].sort() == [1, 2, 3]', true], ['[[1], [2]].flatten() == [1, 2]', true], ['[1, 2, 1].distinct() == [1, 2]', true], ['lists.range(3) == [0, 1, 2]', true], ['[1, 2, 3].slice(1, 3) == [2, 3]', true], ['["bb", "a"].sortBy(s, size(s))[0]', 'a'],
    ['sets.contains([1, 2], [2])', true], ['sets.equivalent([1, 2], [2, 1, 1])', true], ['sets.intersects([1], [2])', false],
    ['"abc 123 45".find("[0-9]+")', '123'], ['"abc 123 45".findAll("[0-9]+") == ["123", "45"]', true], ['"1 2 3".findAll("[0-9]", 2).size()', 2n],
    ['url("https://user@example.com:80/a b?x=1&x=2").getHost()', 'example.com:80'], ['url("https://example.com:80/").getPort()', '80'], ['url("https://example.com/a?x=1&x=2").getQuery()["x"] == ["1", "2"]', true], ['isURL("not a url")', false], ['url("/p/q").getEscapedPath()', '/p/q'],
    ['quantity("1Gi").isGreaterThan(quantity("1G"))', true], ['quantity("50k").add(20).asInteger()', 50020n], ['isQuantity("1x")', false], ['quantity("1.5").isInteger()', false], ['quantity("200M").compareTo(quantity("0.2G"))', 0n], ['quantity("1k") == quantity("1000")', true],
    ['ip("192.168.0.1").family()', 4n], ['isIP("::ffff:1.2.3.4")', false], ['ip("2001:db8::1").isGlobalUnicast()', true], ['ip("127.0.0.1").isLoopback()', true], ['ip.isCanonical("2001:DB8::1")', false], ['string(ip("2001:0db8:0:0::1"))', '2001:db8::1'],
    ['cidr("192.168.0.0/24").containsIP("192.168.0.7")', true], ['cidr("192.168.0.0/16").containsCIDR("192.168.10.0/24")', true], ['cidr("192.168.1.7/24").masked() == cidr("192.168.1.0/24")', true], ['string(cidr("10.0.0.0/8").ip())', '10.0.0.0'],
    ['format.dns1123Label().validate("ok").hasValue()', false], ['format.named("dns1123Label").value().validate("Not_OK").hasValue()', true], ['semver("1.2.3-rc.1").isLessThan(semver("1.2.3"))', true], ['isSemver("v1.0", true)', true], ['semver("1.10.0").minor()', 10n],
    ['{"a": 1}.?b.orValue(5)', 5n], ['{"a": {"b": 1}}.?a.b.hasValue()', true], ['optional.of(2).optMap(x, x * 2).value()', 4n], ['optional.none().hasValue()', false], ['[1, 2][?5].hasValue()', false], ['[1, ?optional.none(), 2] == [1, 2]', true], ['{?"a": optional.of(1)} == {"a": 1}', true], ['optional.ofNonZeroValue("").or(optional.of("x")).value()', 'x'],
  ])('%s', (text, expected) => {
    expect(run(text)).toEqual(expected);
  });

  it.each([
    ['1/0', 'division by zero'], ['1%0', 'modulus by zero'], ['9223372036854775807 + 1', 'integer overflow'], ['{"a": 1}["b"]', 'no such key: b'], ['[1][3]', 'index out of bounds: 3'], ['int("x")', "cannot convert string 'x' to int"],
    ['dyn("a") + dyn(1)', 'no such overload'], ['optional.none().value()', 'optional.none() dereference'], ['0u - 1u', 'unsigned integer overflow'], ['"a".matches("(")', 'error parsing regexp'], ['dyn(1) && true', 'no such overload'], ['duration("x")', 'invalid duration'],
  ])('%s has no value', (text, message) => {
    expect(() => run(text)).toThrow(CelError);
    expect(() => run(text)).toThrow(message);
  });
});

describe('compiling', () => {
  const self = typeOfSchema({
    type: 'object',
    properties: {
      replicas: { type: 'integer' }, name: { type: 'string' }, 'dash-ed': { type: 'string' }, namespace: { type: 'string' }, ratio: { type: 'number' }, port: { 'x-kubernetes-int-or-string': true },
      at: { type: 'string', format: 'date-time' }, tags: { type: 'array', items: { type: 'string' } }, labels: { type: 'object', additionalProperties: { type: 'string' } }, sub: { type: 'object', properties: { x: { type: 'integer' } } },
    },
  }, true);
  const check = (text: string): string => {
    try {
      compile(text, { variables: { self } }, t.bool);
      return '';
    } catch (error) {
      if (error instanceof CelCompileError) return error.message;
      throw error;
    }
  };

  it.each([
    'self.replicas > 1', 'self.name.startsWith("a")', 'self.dash__dash__ed == ""', 'self.__namespace__ == "x"', 'self.ratio > 0.5', 'self.ratio > 1', 'self.port == 80 || self.port == "http"', 'self.at > timestamp("2020-01-01T00:00:00Z")', 'self.tags.all(t, t != "")', 'self.labels.all(k, self.labels[k] != "")', 'has(self.sub.x) && self.sub.x == 1', 'self.metadata.name == "a"', '"x" in self.labels', 'self.?sub.x.orValue(1) == 1', 'self.tags.exists(i, t, t == string(i))',
  ])('accepts %s', (text) => { expect(check(text)).toBe(''); });

  it.each([
    ['self.nope', "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope\n | ....^"],
    ['self.replicas + "a" == 1', "ERROR: <input>:1:15: found no matching overload for '_+_' applied to '(int, string)'\n | self.replicas + \"a\" == 1\n | ..............^"],
    ['other == 1', "undeclared reference to 'other' (in container '')"], ['self.name == 1', "found no matching overload for '_==_' applied to '(string, int)'"], ['self.name', 'must evaluate to bool'], ['self.name.bogus()', "undeclared reference to 'bogus'"],
    ['self.replicas.all(x, true)', "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"], ['self.replicas.x == 1', "type 'int' does not support field selection"], ['[1, "a"].size() == 2', "expected type 'int' but found 'string'"],
    ['self.replicas >', 'Syntax error: mismatched input'], ['self.name == "', 'Syntax error'], ['(1', 'Syntax error'], ['has(self)', 'invalid argument to has() macro'], ['self.tags.all(1, true)', 'argument must be a simple name'], ['if == 1', 'reserved identifier: if'], ['self.metadata.labels == 1', "undefined field 'labels'"],
    [`${'('.repeat(300)}1${')'.repeat(300)} == 1`, 'recursion limit'], ['a'.repeat(200_000), 'expression code point size exceeds limit'],
  ])('refuses %s', (text, message) => { expect(check(text)).toContain(message); });

  it('reads objects by their schema', () => {
    const value = fromJson({ replicas: 2, ratio: 1, at: '2021-01-01T00:00:00Z', tags: ['a'], hidden: 1, 'dash-ed': 'd', sub: null }, self);
    const yes = (text: string): Value => evaluate(compile(text, { variables: { self } }), { self: value });
    expect(yes('self.ratio == 1.0 && self.at.getFullYear() == 2021 && self.dash__dash__ed == "d" && !has(self.sub) && !has(self.name)')).toBe(true);
    expect(() => yes('self.name == "x"')).toThrow('no such key: name');
  });
});

describe('lists without order', () => {
  const items = { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer' } } };
  const type = typeOfSchema({ type: 'object', properties: { set: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } }, map: { type: 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'], items } } });
  const holds = (text: string, self: object, oldSelf: object): Value => evaluate(compile(text, { variables: { self: type, oldSelf: type } }), { self: fromJson(self, type), oldSelf: fromJson(oldSelf, type) });

  it('are equal in any order, and are joined by what makes items the same', () => {
    expect(holds('self.set == oldSelf.set', { set: ['a', 'b'] }, { set: ['b', 'a'] })).toBe(true);
    expect(holds('self.set == oldSelf.set', { set: ['a', 'b'] }, { set: ['b', 'c'] })).toBe(false);
    expect(holds('(self.set + oldSelf.set).size() == 3', { set: ['a', 'b'] }, { set: ['b', 'c'] })).toBe(true);
    expect(holds('self.map == oldSelf.map', { map: [{ k: 'a', v: 1 }, { k: 'b', v: 2 }] }, { map: [{ k: 'b', v: 2 }, { k: 'a', v: 1 }] })).toBe(true);
    expect(holds('(self.map + oldSelf.map).map(i, i.v) == [3, 2]', { map: [{ k: 'a', v: 1 }] }, { map: [{ k: 'a', v: 3 }, { k: 'b', v: 2 }] })).toBe(true);
  });
});

describe('the budget', () => {
  it('ends what costs too much, whatever passes over other errors', () => {
    const program = compile('[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, a + b + c > 0))) || true', { variables: {} });
    expect(evaluate(program, {}, new Budget(100_000))).toBe(true);
    expect(() => evaluate(program, {}, new Budget(1_000))).toThrow(CelBudgetError);
  });

  it('counts the characters that are looked at', () => {
    const spent = (text: string, value: string): number => {
      const budget = new Budget(1_000_000);
      evaluate(compile(text, { variables: { s: t.string } }), { s: value }, budget);
      return 1_000_000 - budget.left;
    };
    expect(spent('s + s == ""', 'x'.repeat(1000))).toBeGreaterThan(spent('s + s == ""', 'x') + 100);
  });
});

describe('any text', () => {
  it('is an expression or is refused, and has a value or an error of its own', () => {
    const word = fc.constantFrom('1', '-', '2u', '1.5', '"a"', "b'x'", 'true', 'null', 'x', 'x.y', 'self', '.', '?', ':', '.?', '[', ']', '[?', '{', '}', '(', ')', ',', '+', '*', '/', '%', '==', '<', '&&', '||', '!', ' in ', '.all(e, ', '.map(e, ', '.exists(i, e, ', 'e', 'has(', 'size(', 'int(', 'string(', 'timestamp(', 'duration("1h")', '.matches(', '.format(', 'optional.of(', '__proto__', 'constructor', '\n', '\\', '"""', 'r"', '😀');
    fc.assert(fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      try {
        const program = compile(words.join(''), { variables: { self: t.dyn, x: t.dyn } });
        evaluate(program, { self: fromJson({ a: [1, 'b', { c: null }], e: 1.5 }), x: fromJson({ y: [true] }) }, new Budget(10_000));
      } catch (error) {
        if (!(error instanceof CelCompileError) && !(error instanceof CelError) && !(error instanceof CelBudgetError)) throw error;
      }
    }), { numRuns: 5000, seed: 20_260_101 });
  });

  it.each([
    'self.all(l, l.protocol in ["HTTP", "TCP"] ? !has(l.tls) : true)',
    'self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))',
    'self.filter(l, l.protocol == "HTTP").map(l, l.port).all(p, p > 0 && p < 65536)',
    '(self.size() > 0 ? self[0].names.size() : 0) + (self.size() > 1 ? self[1].names.size() : 0) <= 128',
    'self.all(l, l.names.all(n, !n.matches(r"""^([-0-9A-Za-z.])+$""") || n.find("^([^/]+)").endsWith("kubernetes.io")))',
    '!self.exists(l, has(l.hostname) && isIP(l.hostname)) && self.map(l, l.port).isSorted()',
  ])('as people write it is compiled: %s', (text) => {
    const schema = { type: 'array', items: { type: 'object', properties: { protocol: { type: 'string' }, tls: { type: 'object', properties: {} }, port: { type: 'integer' }, hostname: { type: 'string' }, names: { type: 'array', items: { type: 'string' } } } } };
    const self = typeOfSchema(schema);
    const program = compile(text, { variables: { self } }, t.bool);
    expect(evaluate(program, { self: fromJson([{ protocol: 'HTTP', port: 80, hostname: 'a.b', names: ['a/b'] }, { protocol: 'TCP', port: 81, names: [] }], self) })).toBeTypeOf('boolean');
  });
});

describe('what grows while it is evaluated', () => {
  const doubled = (times: number): string => `[1]${Array.from({ length: times }, (_, i) => `.map(x${String(i)}, [x${String(i)}, x${String(i)}])`).join('')}`;

  it.each([
    `${doubled(60)} == ${doubled(60)}`, `'%s'.format([${doubled(60)}]) == ''`, '["aaaaaaaaaa"].map(a, a.replace("", a)).map(b, b.replace("", b)).map(c, c.replace("", c)).map(d, d.replace("", d)).size() == 1',
    `[[1, 2]]${'.map(a, a + a)'.repeat(40)}.size() == 1`, 'lists.range(1000000).map(a, lists.range(1000000)).size() == 1',
  ])('is ended: %s', (text) => { expect(() => run(text)).toThrow(CelBudgetError); });

  it('has times that can be written', () => {
    expect(() => run('timestamp(999999999999999).getFullYear()')).toThrow('timestamp overflow');
    expect(() => run('timestamp("9999-12-31T00:00:00Z") + duration("48h") > timestamp("2000-01-01T00:00:00Z")')).toThrow('timestamp overflow');
  });
});
