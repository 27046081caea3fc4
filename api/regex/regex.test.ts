import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileRegex } from './regex.ts';

describe('regular expressions', () => {
  it.each<[string, string, string | undefined]>([
    ['abc', 'xabcx', 'abc'], ['a.c', 'a\nc', undefined], ['(?s)a.c', 'a\nc', 'a\nc'], ['^a', 'ba', undefined], ['(?m)^a$', 'b\na\nb', 'a'], ['a$', 'a\n', undefined], ['\\Aa\\z', 'a', 'a'],
    ['a*', 'aaa', 'aaa'], ['a*?', 'aaa', ''], ['a+?', 'aaa', 'a'], ['(?U)a+', 'aaa', 'a'], ['a{2}', 'aaa', 'aa'], ['a{2,}', 'aaaa', 'aaaa'], ['a{1,2}', 'aaa', 'aa'], ['a{,2}', 'a{,2}', 'a{,2}'], ['(ab|a)(bc)?', 'abc', 'ab'], ['a|ab', 'ab', 'a'], ['(?:a|b)+c', 'xabac', 'abac'],
    ['(?i)HeLLo', 'hello', 'hello'], ['(?i)[a-c]+', 'ABC', 'ABC'], ['a(?i)b', 'aB', 'aB'], ['(?i:a)b', 'AB', undefined], ['(?P<x>a)(?<y>b)', 'ab', 'ab'],
    ['[[:alpha:]]+', '12ab', 'ab'], ['[^[:digit:]]+', '12ab', 'ab'], ['[]a]+', ']a', ']a'], ['[a-]+', 'a-', 'a-'], ['[\\d\\-]+', 'x1-2', '1-2'], ['\\w+\\b', '-foo-', 'foo'], ['\\Boo', 'foo', 'oo'], ['\\pL+', '1éa', 'éa'], ['\\p{Greek}+', 'aαβ', 'αβ'], ['\\PL', 'a1', '1'],
    ['\\x41\\x{42}', 'AB', 'AB'], ['\\Qa.b\\E+', 'a.bb', 'a.bb'], ['\\.', 'a.', '.'], ['.', '😀', '😀'], ['\\t\\n', '\t\n', '\t\n'], ['()*', 'a', ''], ['(a*)*', 'aa', 'aa'],
  ])('%s on %j', (pattern, text, found) => {
    expect(compileRegex(pattern).find(text)).toBe(found);
    expect(compileRegex(pattern).test(text)).toBe(found !== undefined);
  });

  it.each(['(', ')', '[a', 'a**', '*a', '(?=a)', '(?<!a)', '(?P<>a)', '\\1', '\\8', 'a{1001}', 'a{2,1}', '[b-a]', '[[:nope:]]', '\\p{Nope}', '\\', '\\y', '((a{1000}){1000}){1000}', '('.repeat(1000)])('refuses %s', (pattern) => {
    expect(() => compileRegex(pattern)).toThrow(SyntaxError);
  });

  it('finds all matches, which do not overlap', () => {
    expect(compileRegex('a+').findAll('aa b a', -1)).toEqual(['aa', 'a']);
    expect(compileRegex('a*').findAll('ba', -1)).toEqual(['', 'a']);
    expect(compileRegex('\\d').findAll('1 2 3', 2)).toEqual(['1', '2']);
  });

  it('takes time in proportion to the text', () => {
    expect(compileRegex('(a+)+$').test(`${'a'.repeat(5_000)}b`)).toBe(false);
    expect(compileRegex('(x?){50}x{50}').test('x'.repeat(50))).toBe(true);
  });

  it('agrees with JavaScript where both have the same syntax', () => {
    const part = fc.constantFrom('a', 'b', '[ab]', '.', '(a|b)', '(?:ab)', 'a*', 'b+', 'a?', '(a|ab)', 'b{1,2}', '^', '$', '\\b', '[^a]', '\\w', 'a*?', '(b|)');
    fc.assert(fc.property(fc.array(part, { maxLength: 5 }), fc.stringMatching(/^[ab c]{0,8}$/), (parts, text) => {
      const pattern = parts.join('');
      expect(compileRegex(pattern).find(text)).toBe(new RegExp(pattern, 'u').exec(text)?.[0]);
    }), { numRuns: 500, seed: 20_260_101 });
  });
});

describe('long texts', () => {
  it('are matched fast by expressions that repeat much', () => {
    const began = performance.now();
    expect(compileRegex('^[a-z]{1,1000}-[a-z]{1,1000}$').test('a'.repeat(500_000))).toBe(false);
    expect(compileRegex('(a|b){500}c').test('ab'.repeat(250_000))).toBe(false);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
